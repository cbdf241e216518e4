"""The gradient family: ``gradient`` and ``activation_x_gradient``."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions


def gradient_itself(at: AtLayer, _options: MethodOptions) -> torch.Tensor:
    """(B, C, h, w) as a pass leaves it."""
    return at.gradient


def activation_x_gradient(at: AtLayer, _options: MethodOptions) -> torch.Tensor:
    """(B, C, h, w) what the layer contributes, to first order."""
    return at.activation * at.gradient


GRADIENT = METHODS.register(
    LayerMethod(
        name="gradient",
        title="Gradient: where a small change of the layer would change the decision most",
        # Not "supports": the sign says what more of the layer's activity would do there. A place
        # that speaks for a class by being dark may well have a negative gradient.
        positive="raises",
        negative="lowers",
        attribute=gradient_itself,
        moves=True,
    )
)
"""d target / d activation (Simonyan et al. 2014), at a hidden layer."""

ACTIVATION_X_GRADIENT = METHODS.register(
    LayerMethod(
        name="activation_x_gradient",
        title="Activation x gradient: what the layer contributes to the decision, to first order",
        positive="supports",
        negative="speaks against",
        attribute=activation_x_gradient,
    )
)
"""activation * d target / d activation (Shrikumar et al. 2016), at a hidden layer."""
