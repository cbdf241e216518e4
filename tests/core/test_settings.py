"""Settings refuse what cannot work, in words a user can act on."""

import pytest

from napari_smoothsal.attribution.base import METHODS
from napari_smoothsal.attribution.base import options_of as method_options_of
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError, SmoothsalError, UnknownNameError
from napari_smoothsal.core.registry import Registry
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.denoise import options_of as denoising_options_of


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        (SaliencySpec, {"layer": "a", "samples": -1}, "samples"),
        (SaliencySpec, {"layer": "a", "sigma": -0.1}, "sigma"),
        (SaliencySpec, {"layer": "a", "sigma": float("nan")}, "sigma"),
        (SaliencySpec, {"layer": ""}, "layer"),
        (SaliencySpec, {}, "layer"),
        (SaliencySpec, {"layer": "a", "smaples": 3}, "smaples"),
        (SaliencySpec, {"layer": "a", "reduction": "max"}, "reduction"),
        (SaliencySpec, {"layer": "a", "reduction": "channel"}, "say which, e.g. channel = 0"),
        (SaliencySpec, {"layer": "a", "channel": 3}, "channel = 3 needs reduction = 'channel'"),
        (SaliencySpec, {"layer": "a", "reduction": "channel", "channel": -1}, "channel = -1"),
        (SaliencySpec, {"layer": "a", "target": True}, "target"),
        (Tiling, {"tile_px": 0}, "tile_px"),
        (Tiling, {"overlap": 1.0}, "overlap"),
        (Compute, {"batch_size": 0}, "batch_size"),
        (Compute, {"precision": "fp8"}, "precision"),
    ],
)
def test_a_bad_field_is_named(model: type, fields: dict, named: str) -> None:
    with pytest.raises(SettingError, match=named):
        model(**fields)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("rise", {"masks": 0}, "method 'rise': masks = 0: give 2 or more"),
        ("rise", {"p1": 1}, "method 'rise': p1 = 1: give less than 1"),
        ("rise", {"masks": "many"}, "method 'rise': masks = 'many': give a whole number"),
        ("rise", {"centred": "no!"}, "method 'rise': centred = 'no!': give true or false"),
        (
            "rise",
            {"masks": 1, "cells": 0},
            "method 'rise': masks = 1: give 2 or more; cells = 0: give 1 or more",
        ),
        ("lime", {"distance": "l1"}, "method 'lime': distance = 'l1': give 'cosine' or"),
        ("rise", {"mask": 9}, "method 'rise' has no option 'mask'; its options: cells,"),
        ("occlusion", {"fill": "whte"}, "method 'occlusion': no fill named 'whte'; did you mean"),
        (
            "gradient_shap",
            {"baseline": "norml_tissue"},
            "method 'gradient_shap': no baseline named 'norml_tissue'; did you mean",
        ),
        ("centred_hook", {"strength": 2}, "denoising 'centred_hook': strength = 2: give 1 or less"),
        (
            "gaussian_blur",
            {"sigma": 1, "match": "backward_hook"},
            "denoising 'gaussian_blur': sigma = 1 and match = 'backward_hook' exclude",
        ),
    ],
)
def test_a_bad_option_is_told_with_whose_it_is(name: str, given: dict, words: str) -> None:
    with pytest.raises(SmoothsalError) as error:
        if name in METHODS:
            method_options_of(METHODS[name], given)
        else:
            denoising_options_of(DENOISINGS[name], given)
    assert str(error.value).startswith(words)


def test_every_limit_of_an_option_is_told_in_plain_words() -> None:
    for options_of, entries in ((method_options_of, METHODS), (denoising_options_of, DENOISINGS)):
        for entry in entries.values():
            for option in entry.options.model_fields:
                for value in (-1e9, 1e9, "", object()):
                    try:
                        options_of(entry, {option: value})
                    except SmoothsalError as error:
                        assert entry.options.__name__ not in str(error)
                        assert f"{entry.name!r}: " in str(error) and "input should" not in str(
                            error
                        )


def test_a_value_that_is_of_none_of_several_types_is_told_of_once() -> None:
    with pytest.raises(SettingError) as error:
        Compute(batch_size="many")
    assert str(error.value) == "Compute: batch_size = 'many': give a whole number, or 'auto'"


def test_the_defaults_are_those_of_the_architecture() -> None:
    spec = SaliencySpec(layer="layer1")
    assert spec.model_dump() == {
        "schema_version": 1,
        "layer": "layer1",
        "denoising": "centred_hook",
        "method": "activation_x_gradient",
        "samples": 20,
        "max_standard_error": 0.1,
        "sigma": 0.2,
        "jitter": False,
        "aggregate": "mean",
        "noise_at": "input",
        "target": None,
        "reduction": "sum",
        "channel": None,
        "seed": 0,
        "denoising_options": {},
        "method_options": {},
    }
    assert SaliencySpec(**spec.model_dump(mode="json")) == spec


def test_a_spec_of_before_a_channel_could_be_chosen_is_read() -> None:
    stored = SaliencySpec(layer="layer1", reduction="mean").model_dump(mode="json")
    del stored["channel"]
    assert SaliencySpec(**stored) == SaliencySpec(layer="layer1", reduction="mean")


def test_every_field_a_user_sees_is_described() -> None:
    for model in (SaliencySpec, Tiling, Compute):
        for name, field in model.model_fields.items():
            assert name == "schema_version" or field.description, f"{model.__name__}.{name}"


def test_digits_from_a_command_line_are_a_class_index() -> None:
    assert SaliencySpec(layer="a", target="1").target == 1
    assert SaliencySpec(layer="a", target="a-b").target == "a-b"


CARD = {
    "name": "m",
    "kind": "classification",
    "class_names": ["normal", "tumour"],
    "input_size": 64,
    "mean": [0.5],
    "std": [0.5],
}


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": ["a", "a"]},
        {"std": [0.0]},
        {"std": [0.5, 0.5]},
        {"default_target": "tumor"},
        {"background": "glass"},
        {"input_mpp_range": [0.5, 0.25]},
        {"input_mpp": 0},
        {"weights_sha256": "../etc"},
    ],
)
def test_a_contradictory_card_is_refused(change: dict) -> None:
    ModelCard(**CARD)
    with pytest.raises(SettingError):
        ModelCard(**{**CARD, **change})


def test_a_single_logit_model_may_name_what_its_class_is_not() -> None:
    assert ModelCard(**{**CARD, "class_names": ["tumour"], "background": "normal"})


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'backward_hook'") as error:
        DENOISINGS["backwards_hook"]
    assert isinstance(error.value, SmoothsalError)
    assert "backward_hook" in error.value.near


def test_a_name_is_registered_once() -> None:
    class Entry:
        name = "a"

    registry: Registry[Entry] = Registry("thing")
    registry.register(Entry())
    assert "a" in registry and "b" not in registry
    with pytest.raises(ValueError, match="twice"):
        registry.register(Entry())
