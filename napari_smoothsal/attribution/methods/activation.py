"""``activation``: a layer's own maps, whatever is decided."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions


def _activation(at: AtLayer, _options: MethodOptions) -> torch.Tensor:
    return at.activation


ACTIVATION = METHODS.register(
    LayerMethod(
        name="activation",
        title="Activation: what the layer itself shows, whatever the class",
        positive="is active",
        negative="is below zero",
        attribute=_activation,
        uses_gradients=False,
        of_the_target=False,
        opposed=lambda _options: False,
    )
)
"""The layer's output. Choose one channel of it to see a single detector's map."""
