"""The form of a spec: options of what is chosen, and what is told before anything is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from viewer_listening import described

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.viewer.asked import Describe
from napari_smoothsal.viewer.engine_work import Engine
from napari_smoothsal.viewer.spec_form import SpecForm


def test_each_denoising_brings_its_options(form: SpecForm) -> None:
    options = form.options["denoising_options"]
    shown = {}
    for name in form.controls["denoising"].choices:
        form.controls["denoising"].value = name
        shown[name] = set(options.controls)
        assert options.isHidden() == (not options.controls)
        assert form.spec() is None or form.spec().denoising_options == {}
    assert shown == {name: set(d.options.model_fields) for name, d in DENOISINGS.items()}
    form.controls["denoising"].value = "centred_hook"
    strength = options.controls["strength"]
    described = DENOISINGS["centred_hook"].options.model_fields["strength"].description
    assert strength.label == "strength" and strength.tooltip == described
    strength.value = 0.5
    assert form.spec().denoising_options == {"strength": 0.5}
    form.controls["denoising"].value = "forward_hook"
    assert form.spec().denoising_options == {}
    options.controls["scope"].value = "paper"
    options.controls["compensate"].value = False
    assert form.spec().denoising_options == {"scope": "paper", "compensate": False}
    form.controls["denoising"].value = "centred_hook"
    assert form.spec().denoising_options == {"strength": 0.5}
    form.controls["denoising"].value = "gaussian_blur"
    matchable = (None, "backward_hook", "bilinear_surrogate", "centred_hook", "forward_hook")
    assert options.controls["match"].choices == matchable
    assert options.controls["sigma"].label == "sigma"
    form.controls["method"].value = "deeplift"
    form.options["method_options"].controls["baseline"].value = "white"
    assert form.spec().method_options == {"baseline": "white"}


def test_an_option_that_cannot_work_is_marked_and_told(form: SpecForm) -> None:
    form.controls["denoising"].value = "centred_hook"
    strength = form.options["denoising_options"].controls["strength"]
    strength.value = 1.5
    assert "border" in strength.native.styleSheet()
    assert "strength: Input should be less than or equal to 1" in form.problem
    assert form.spec() is None
    strength.value = 0.5
    assert strength.native.styleSheet() == "" and form.problem == ""
    strength.value = 1.5
    form.controls["denoising"].value = "original"
    assert form.problem == ""


def test_a_missing_surrogate_is_told_before_anything_is_run(form: SpecForm) -> None:
    form.controls["denoising"].value = "bilinear_surrogate"
    assert "smoothsal train-surrogate" in form.problem and "'tiny'" in form.problem
    assert form.spec() is None
    form.controls["denoising"].value = "gaussian_blur"
    assert form.problem == ""
    form.options["denoising_options"].controls["match"].value = "bilinear_surrogate"
    assert "smoothsal train-surrogate" in form.problem


def test_where_nothing_can_be_denoised_it_is_said(form: SpecForm) -> None:
    assert form.note == ""
    form.controls["layer"].value = "layer4"
    assert "No strided convolution lies above layer 'layer4'" in form.note
    assert form.problem == "" and form.spec() is not None
    for name, told in (("original", False), ("gaussian_blur", False), ("forward_hook", True)):
        form.controls["denoising"].value = name
        assert bool(form.note) == told
    # Of the whole network there are some.
    form.options["denoising_options"].controls["scope"].value = "paper"
    assert form.note == ""


def test_a_model_without_strided_convolutions_is_told(form: SpecForm, model_folder: Path) -> None:
    model = described(model_folder)
    assert model.strided == 7
    layers = tuple(layer.model_copy(update={"to_denoise": 0}) for layer in model.layers)
    form.describe_model(model.model_copy(update={"strided": 0, "layers": layers}))
    assert "'tiny' has no strided convolution: there is nothing to denoise" in form.note
    form.controls["denoising"].value = "bilinear_surrogate"
    assert "has none; choose original" in form.problem and form.note == ""


def test_jitter_with_too_few_samples_is_told(form: SpecForm) -> None:
    form.controls["jitter"].value = True
    assert form.problem.startswith("jitter = True needs samples to shift, 4 or more")
    assert form.spec() is None
    form.controls["samples"].value = "4"
    assert form.problem == "" and form.spec().jitter


def test_a_channel_can_be_chosen_where_one_is_shown(form: SpecForm) -> None:
    channel = form.controls["channel"]
    assert not channel.enabled and form.spec().channel is None
    form.controls["reduction"].value = "channel"
    assert channel.enabled and form.spec() is None and "channel" in form.problem
    channel.value = "5"
    assert form.spec().channel == 5
    kept = form.values()
    form.controls["reduction"].value = "absolute"
    assert not channel.enabled and form.problem == "" and form.spec().channel is None
    form.restore(kept)
    assert channel.enabled and form.spec().channel == 5
    channel.value = "-1"
    assert form.spec() is None and form.problem.startswith("channel: ")


def test_a_method_of_the_image_chooses_it_and_gives_the_layer_back(
    form: SpecForm, model_folder: Path
) -> None:
    layer, method = form.controls["layer"], form.controls["method"]
    layer.value = "layer3"
    for of_the_image in ("rise", "lime"):
        method.value = of_the_image
        assert layer.value == "input" and not layer.enabled
        assert f"{of_the_image} makes maps of the image alone" in layer.tooltip
        assert form.layer_note.startswith(f"{of_the_image} makes maps of the image alone, so the")
        assert "go back to layer3" in form.layer_note
        spec = form.spec()
        assert spec is not None and spec.layer == "input"
    kept = form.values()
    method.value = "deeplift"
    assert layer.value == "layer3" and layer.enabled and form.layer_note == ""
    assert layer.tooltip == SaliencySpec.model_fields["layer"].description.replace("`", "'")
    # What was remembered of it, and what is set while it is chosen, is the user's own layer.
    form.restore(kept)
    assert (layer.value, method.value) == ("input", "lime") and "layer3" in form.layer_note
    layer.value = "layer1"
    assert layer.value == "input" and "layer1" in form.layer_note
    form.restore({})
    assert (layer.value, method.value) == (
        "layer2",
        "activation_x_gradient",
    ) and form.layer_note == ""
    # Chosen by the user it stays.
    layer.value = "input"
    method.value = "rise"
    assert form.layer_note == "" and not layer.enabled
    method.value = "gradient"
    assert layer.value == "input"
    # Another model has other layers.
    layer.value, method.value = "layer1", "rise"
    form.forget_model()
    form.describe_model(described(model_folder))
    assert layer.value == "input" and "layer2" in form.layer_note


def test_notes_are_never_cut(form: SpecForm) -> None:
    form.show()
    form.resize(300, 100)
    form.controls["method"].value = "shapley_sampling"
    for note in (form._of_layer, form._note):
        assert note.isVisible() and note.height() >= note.heightForWidth(note.width()) > 20


def test_what_has_no_effect_rests_and_says_why(form: SpecForm) -> None:
    noise = ("samples", "sigma", "jitter", "aggregate", "noise_at", "max_standard_error")
    controls, strength = form.controls, form.options["denoising_options"].controls["strength"]
    before = {name: controls[name].tooltip for name in noise}
    strength.value = 1.5
    controls["samples"].value, controls["sigma"].value = "7", -0.5
    assert form.spec() is None
    controls["method"].value = "rise"
    for name in noise:
        assert not controls[name].enabled and "adds no noise" in controls[name].tooltip
    assert not strength.enabled and "uses no gradients" in strength.tooltip
    # What cannot be seen to matter is in nobody's way.
    spec = form.spec()
    assert spec == SaliencySpec(
        layer="input", denoising="original", method="rise", samples=0, target="tumour"
    )
    assert "rise uses no gradients: centred hook has nothing to filter" in form.note
    controls["method"].value = "activation"
    assert controls["samples"].enabled and not strength.enabled and "activation" in form.note
    controls["method"].value = "gradient"
    assert {name: controls[name].tooltip for name in noise} == before
    assert all(controls[name].enabled for name in noise) and strength.enabled
    assert (controls["samples"].value, controls["sigma"].value) == ("7", -0.5) and form.note == ""


def test_denoisings_that_change_the_network_are_for_every_method(form: SpecForm) -> None:
    controls = form.controls
    controls["method"].value = "occlusion"
    assert offered(controls["denoising"]) == {
        "original", "forward_hook", "bilinear_surrogate", "gaussian_blur"
    }  # fmt: skip
    controls["denoising"].value = "forward_hook"
    spec = form.spec()
    assert spec is not None and spec.denoising == "forward_hook" and form.note == ""
    controls["method"].value = "gradient"
    assert offered(controls["denoising"]) == set(controls["denoising"].choices)


def test_one_map_has_no_channels_to_choose(form: SpecForm) -> None:
    controls, channel = form.controls, form.controls["channel"]
    controls["reduction"].value = "channel"
    channel.value = "5"
    controls["method"].value = "rise"
    assert offered(controls["reduction"]) == {"sum", "absolute", "positive"}
    spec = form.spec()
    assert not channel.enabled and "no channels to choose" in form.note
    assert spec is not None and (spec.reduction, spec.channel) == ("sum", None)
    # It may hang on an option.
    controls["method"].value = "grad_cam"
    assert form.spec().channel == 5 and channel.enabled and form.note == ""
    form.options["method_options"].controls["relu"].value = True
    assert form.spec().channel is None and not channel.enabled and "no channels" in form.note
    assert offered(controls["reduction"]) == {"sum", "absolute", "positive"}


def offered(control: Any) -> set[str]:
    """The choices of a ComboBox that can be taken."""
    items = control.native.model()
    return {value for i, value in enumerate(control.choices) if items.item(i).isEnabled()}


def test_what_was_entered_outlives_a_new_engine(form: SpecForm) -> None:
    form.controls["denoising"].value = "centred_hook"
    form.options["denoising_options"].controls["strength"].value = 0.5
    said: list[Any] = []
    Engine(said.append, lambda _: False).describe(Describe(id=2))
    form.describe(said[0])
    spec = form.spec()
    assert spec is not None and spec.denoising_options == {"strength": 0.5}
