"""The form of a spec: options of what is chosen, and what is told before anything is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from viewer_listening import described

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


def test_what_was_entered_outlives_a_new_engine(form: SpecForm) -> None:
    form.controls["denoising"].value = "centred_hook"
    form.options["denoising_options"].controls["strength"].value = 0.5
    said: list[Any] = []
    Engine(said.append, lambda _: False).describe(Describe(id=2))
    form.describe(said[0])
    spec = form.spec()
    assert spec is not None and spec.denoising_options == {"strength": 0.5}
