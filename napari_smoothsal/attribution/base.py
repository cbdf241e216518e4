"""What a method is: from what one pass leaves at a layer to an attribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field

from napari_smoothsal.core.registry import Registry
from napari_smoothsal.core.settings import Settings, checked_options
from napari_smoothsal.models.targets import TargetPixels


class MethodOptions(Settings):
    """What every method can be told."""

    target_pixels: TargetPixels = Field(
        "predicted",
        description="Of models that decide per pixel: explain the score summed over the pixels "
        "`predicted` as the class, or over `all` pixels.",
    )


@dataclass(frozen=True)
class AtLayer:
    """What one pass leaves at a layer.

    Attributes
    ----------
    activation
        (B, C, h, w) the layer's output.
    gradient
        (B, C, h, w) of the explained scalar with respect to it; for a method that rescales, the
        multipliers in its place.
    reference
        (B or 1, C, h, w) the layer's output for the baseline images; None for a method without.
    """

    activation: torch.Tensor
    gradient: torch.Tensor
    reference: torch.Tensor | None = None


@dataclass(frozen=True)
class Method:
    """One way to compute an attribution at a layer.

    Attributes
    ----------
    name
        As in ``SaliencySpec.method``.
    title
        One line in plain words, for lists and tooltips.
    positive, negative
        What a value above and below zero says of the target, as a verb: "supports".
    attribute
        From what a pass leaves at the layer to the attribution (B, C, h, w).
    options
        Settings model of ``SaliencySpec.method_options``.
    rescales
        Whether nonlinear functions pass gradients on by the rescale rule, against a baseline
        that the options name. A map's values then add up to the score less the baseline's.
    moves
        Whether a gradient that a denoising moves moves the map: it is the gradient alone.
    """

    name: str
    title: str
    positive: str
    negative: str
    attribute: Callable[[AtLayer], torch.Tensor]
    options: type[MethodOptions] = MethodOptions
    rescales: bool = False
    moves: bool = False


METHODS: Registry[Method] = Registry("method")


def options_of(method: Method, given: dict[str, object]) -> MethodOptions:
    """Validate a spec's ``method_options`` by the method's own model."""
    return checked_options(f"method {method.name!r}", method.options, given)
