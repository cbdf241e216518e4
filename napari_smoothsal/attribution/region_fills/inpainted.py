"""What surrounds the hidden pixels, continued into them as smoothly as can be."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.fills import inpainted
from napari_smoothsal.attribution.region_fills.base import REGION_FILLS, RegionFill


def _made(colours: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    return inpainted(colours, hidden[None])[0]


REGION_FILLS.register(
    RegionFill(
        "inpainted",
        "inpainted",
        "The surroundings, continued smoothly (Laplace's equation): nothing of what was there is "
        "left, and the rim is no edge.",
        _made,
    )
)
