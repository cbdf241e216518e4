"""``deeplift``: contributions of a layer to the score, compared with a baseline image."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions
from napari_smoothsal.attribution.methods.one_baseline import OneBaselineOptions


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
        options=OneBaselineOptions,
        rescales=True,
    )
)
"""DeepLift's rescale rule (Shrikumar et al. 2017), at a hidden layer; see `rescale`."""
