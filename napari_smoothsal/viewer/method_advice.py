"""What a method has no use for, in words: controls, choices and layers that mean nothing to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_smoothsal.render.words import plain
from napari_smoothsal.viewer.offered import MethodChoice

IMAGE = "input"
"""The image, as a layer."""
ORIGINAL = "original"
"""The denoising that leaves everything as it is."""

_OF_CHANNELS = ("mean", "channel")
"""Reductions that do nothing to a single map; it has magnitudes and positive values."""


def without_effect(method: MethodChoice) -> dict[str, str]:
    """Why controls have no effect, by their field."""
    name = plain(method.name)
    found = dict.fromkeys(
        method.left_out, f"{name} changes the image and looks at the scores: it adds no noise."
    )
    if method.input_only:
        found["layer"] = f"{name} makes maps of the image alone."
    return found


def denoisings_without_effect(method: MethodChoice) -> dict[str, str]:
    """Why denoisings have none, by their name."""
    return {name: _nothing_to_filter(method, name) for name in method.nothing_to}


def reductions_without_effect(method: MethodChoice, options: Mapping[str, Any]) -> dict[str, str]:
    """Why ways to reduce channels have none, with some options of the method changed."""
    if not method.one_map(options):
        return {}
    why = f"{plain(method.name)} makes one map: it has no channels to choose from."
    return dict.fromkeys(_OF_CHANNELS, why)


def in_their_place(method: MethodChoice, values: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the place of values that have no effect."""
    found: dict[str, Any] = {**method.left_out}
    if values["denoising"] in method.nothing_to:
        found |= {"denoising": ORIGINAL, "denoising_options": {}}
    if values["reduction"] in reductions_without_effect(method, values["method_options"]):
        found |= {"reduction": "sum", "channel": None}
    return found


def image_instead(method: MethodChoice, own_layer: str) -> str:
    """That the image was chosen as layer, in place of the user's own."""
    return (
        f"{plain(method.name)} makes maps of the image alone, so the layer is {IMAGE}. Methods "
        f"that look into layers go back to {own_layer}."
    )


def notes_on(method: MethodChoice, values: Mapping[str, Any]) -> list[str]:
    """What to know of values that are chosen, although they have no effect."""
    reductions = reductions_without_effect(method, values["method_options"])
    found = denoisings_without_effect(method).get(values["denoising"])
    return [text for text in (found, reductions.get(values["reduction"])) if text]


def _nothing_to_filter(method: MethodChoice, denoising: str) -> str:
    return (
        f"{plain(method.name)} uses no gradients: {plain(denoising)} has nothing to filter, and "
        "the map is the original's."
    )
