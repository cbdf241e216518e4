"""What a method is: from a layer's activation and the target's gradient there to a map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.registry import Registry


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
    """

    name: str
    title: str
    positive: str
    negative: str
    attribute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


METHODS: Registry[Method] = Registry("method")


def check_method_options(method: Method, given: dict[str, object]) -> None:
    """Refuse options that the method does not have (none of the gradient family has any)."""
    if given:
        raise SettingError(
            f"method {method.name!r} has no option {next(iter(given))!r}; its options: none"
        )
