"""The CAM family: ``grad_cam``, ``layer_cam`` and ``hires_cam``, in the units of the score.

None of them is scaled to the maximum of its tile: maps of neighbouring tiles would not fit
together, and a tile in which nothing speaks for the class would glow like one that is full of it.
"""

from __future__ import annotations

import torch
from pydantic import Field

from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions
from napari_smoothsal.attribution.methods.gradient import activation_x_gradient


class GradCamOptions(MethodOptions):
    """What Grad-CAM can be told."""

    relu: bool = Field(
        False,
        description="Clip the map, summed over channels, at zero, as the paper does: what speaks "
        "against the class is not shown then.",
    )


def _grad_cam(at: AtLayer, options: GradCamOptions) -> torch.Tensor:
    maps = at.activation * at.gradient.mean((2, 3), keepdim=True)
    return maps.sum(1, keepdim=True).clamp(min=0) if options.relu else maps


def _layer_cam(at: AtLayer, _options: MethodOptions) -> torch.Tensor:
    return at.activation * at.gradient.clamp(min=0)


GRAD_CAM = METHODS.register(
    LayerMethod(
        name="grad_cam",
        title="Grad-CAM: where the channels are active that speak for the class in the whole tile",
        positive="supports",
        negative="speaks against",
        attribute=_grad_cam,
        options=GradCamOptions,
        one_map=lambda options: bool(options.relu),
        signed=lambda options: not options.relu,
        opposed=lambda options: not options.relu,
    )
)
"""activation * mean over the tile of d target / d activation (Selvaraju et al. 2017)."""

LAYER_CAM = METHODS.register(
    LayerMethod(
        name="layer_cam",
        title="LayerCAM: activity of the layer where more of it would raise the score",
        positive="supports",
        negative="falls short for",
        attribute=_layer_cam,
        opposed=lambda _options: False,
    )
)
"""activation * max(0, d target / d activation) (Jiang et al. 2021)."""

HIRES_CAM = METHODS.register(
    LayerMethod(
        name="hires_cam",
        title="HiResCAM: what the layer contributes to the decision, place by place",
        positive="supports",
        negative="speaks against",
        attribute=activation_x_gradient,
    )
)
"""activation * d target / d activation (Draelos & Carin 2020): with channels summed, that map."""
