"""``deeplift``: contributions of a layer to the score, compared with a baseline image."""

from __future__ import annotations

import torch
from pydantic import Field, field_validator

from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions
from napari_smoothsal.attribution.baselines import CUSTOM, baseline_of


class DeepLiftOptions(MethodOptions):
    """What DeepLift can be told."""

    baseline: str = Field(
        "zero",
        description="What a tile is compared with: `zero` (after normalisation: the mean colour), "
        "`black`, `white`, `tissue_mean`, `blurred`, a colour as `#rrggbb`, or `custom`: images "
        "given to explain_tiles.",
    )

    @field_validator("baseline")
    @classmethod
    def _there_is_one(cls, value: str) -> str:
        if value != CUSTOM:
            baseline_of(value, "baseline", CUSTOM)
        return value


def _contribution(at: AtLayer, _options: MethodOptions) -> torch.Tensor:
    assert at.reference is not None
    return (at.activation - at.reference) * at.gradient


DEEPLIFT = METHODS.register(
    LayerMethod(
        name="deeplift",
        title="DeepLift: what the layer contributes to the decision compared with a baseline",
        positive="supports",
        negative="speaks against",
        attribute=_contribution,
        options=DeepLiftOptions,
        rescales=True,
    )
)
"""DeepLift's rescale rule (Shrikumar et al. 2017), at a hidden layer; see `rescale`."""
