"""The view itself, blurred: the local stain stays, no nucleus does."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from napari_smoothsal.attribution.baselines import BLUR_SIGMA_PX, blurred
from napari_smoothsal.attribution.region_fills.base import REGION_FILLS, RegionFill

_COARSER = 8
"""A view is large and the blur is wide: at an eighth of the resolution it takes a fiftieth of the
time, and 0.2 % of the variance of the Gaussian come from the coarser pixels."""


def _made(colours: torch.Tensor, _hidden: torch.Tensor) -> torch.Tensor:
    height, width = colours.shape[1:]
    coarse = F.avg_pool2d(colours[None], _COARSER, ceil_mode=True)
    soft = blurred(coarse, BLUR_SIGMA_PX / _COARSER)
    fine = F.interpolate(soft, scale_factor=_COARSER, mode="bilinear")
    return fine[0, :, :height, :width]


REGION_FILLS.register(
    RegionFill(
        "blurred",
        "blurred",
        f"The same place, blurred (sigma {BLUR_SIGMA_PX:g} px of the model's): its mean stain "
        "stays, cells go.",
        _made,
    )
)
