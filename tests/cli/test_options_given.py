"""Options of methods and denoisings: who gets them, and what is said of those nobody has."""

import json

import pytest
from command_line import smoothsal

from napari_smoothsal.attribution import METHODS
from napari_smoothsal.cli.flags import options_from
from napari_smoothsal.cli.specs import specs_from
from napari_smoothsal.core.errors import SettingError, SmoothsalError


def test_denoisings_of_what_uses_no_gradients_make_one_map() -> None:
    given = {"layer": ["input"], "method": ["gradient", "rise"]}
    given |= {"denoising": ["original", "centred_hook"]}
    with pytest.warns(UserWarning, match="'rise' makes the same map with denoising 'centred_hook'"):
        specs = specs_from(given)
    made = [(spec.method, spec.denoising) for spec in specs]
    assert made.count(("gradient", "centred_hook")) == 1 and len(made) == 3


AT_THE_IMAGE = {"layer": ["input"], "method": ["gradient", "rise", "lime"]}


def told(**given: list[str]) -> dict[str, dict]:
    """What each method, or denoising, is told."""
    specs = specs_from(AT_THE_IMAGE | given)
    if "denoising_option" in given:
        return {spec.denoising: spec.denoising_options for spec in specs}
    return {spec.method: spec.method_options for spec in specs}


def test_an_option_is_for_all_that_have_it_or_for_the_one_that_is_named() -> None:
    assert told(method_option=["fill=white"]) == {
        "gradient": {}, "rise": {"fill": "white"}, "lime": {"fill": "white"},
    }  # fmt: skip
    for given in (["rise.fill=black", "fill=white"], ["fill=white", "rise.fill=black"]):
        assert told(method_option=[*given, "lime.samples=50"]) == {
            "gradient": {}, "rise": {"fill": "black"}, "lime": {"fill": "white", "samples": 50},
        }  # fmt: skip
    denoisings = ["original", "backward_hook", "centred_hook"]
    options = ["backward_hook.compensate=false", "strength=0.5"]
    assert told(method=["gradient"], denoising=denoisings, denoising_option=options) == {
        "original": {}, "backward_hook": {"compensate": False}, "centred_hook": {"strength": 0.5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "stride_px=8",
            "stride_px: none of the methods gradient, rise, lime has it; there are: ",
        ),
        ("rise.samples=8", "--method-option rise.samples: method 'rise' has no such option; there"),
        ("occlusion.size_px=8", "'occlusion' was not chosen; give --method occlusion as well"),
        ("rize.masks=8", "no method named 'rize'; did you mean 'rise'"),
        ("rise.masks=0", "method 'rise': masks = 0: give 2 or more"),
    ],
)
def test_an_option_that_nothing_has_is_refused(option: str, words: str) -> None:
    with pytest.raises(SmoothsalError) as error:
        specs_from(AT_THE_IMAGE | {"method_option": [option]})
    assert words in str(error.value)


def test_images_that_no_command_can_give_are_refused_before_anything_is_opened() -> None:
    nowhere = ("run", "nowhere.svs", "--model", "nowhere", "--layer", "layer1")
    for method in ("deeplift", "gradient_shap"):
        result = smoothsal(*nowhere, "--method", method, "--method-option", "baseline=custom")
        assert result.exit_code == 2
        assert "baseline = 'custom'" in result.output and "#rrggbb" in result.output


def test_methods() -> None:
    result = smoothsal("methods")
    assert result.exit_code == 0 and all(name in result.output for name in METHODS)
    listed = json.loads(smoothsal("methods", "--json").output)
    assert [one["name"] for one in listed] == list(METHODS)
    one = smoothsal("methods", "integrated_gradients")
    assert "--method-option steps=16" in one.output
    assert "--method-option integrated_gradients.OPTION=" in one.output
    wrong = smoothsal("methods", "gradcam")
    assert wrong.exit_code == 2 and "grad_cam" in wrong.output


def test_options() -> None:
    assert options_from(["a=1", "b=0.5", "c=true", "d=x=y"]) == {
        "a": 1, "b": 0.5, "c": True, "d": "x=y",
    }  # fmt: skip
    for bad in ("a", "=1"):
        with pytest.raises(SettingError):
            options_from([bad])
