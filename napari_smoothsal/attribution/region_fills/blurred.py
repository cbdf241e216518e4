"""The view itself, blurred: the local stain stays, no nucleus does."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.baselines import BLUR_SIGMA_PX, blurred
from napari_smoothsal.attribution.region_fills.base import REGION_FILLS, RegionFill


def _made(colours: torch.Tensor, _hidden: torch.Tensor) -> torch.Tensor:
    return blurred(colours[None], BLUR_SIGMA_PX)[0]


REGION_FILLS.register(
    RegionFill(
        "blurred",
        "blurred",
        f"The same place, blurred (sigma {BLUR_SIGMA_PX:g} px of the model's): its mean stain "
        "stays, cells go.",
        _made,
    )
)
