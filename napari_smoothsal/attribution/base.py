"""What a method is: from a layer's activation and the target's gradient there to a map."""

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
        From the layer's activation and the gradient of the explained scalar with respect to it,
        both (B, C, h, w), to the attribution of the same shape.
    options
        Settings model of ``SaliencySpec.method_options``.
    """

    name: str
    title: str
    positive: str
    negative: str
    attribute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    options: type[MethodOptions] = MethodOptions


METHODS: Registry[Method] = Registry("method")


def options_of(method: Method, given: dict[str, object]) -> MethodOptions:
    """Validate a spec's ``method_options`` by the method's own model."""
    return checked_options(f"method {method.name!r}", method.options, given)
