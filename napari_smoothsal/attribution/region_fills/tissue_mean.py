"""The mean colour of the view's tissue: nothing is left of structure, nor of local stain."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.attribution.region_fills.base import REGION_FILLS, RegionFill


def _made(colours: torch.Tensor, _hidden: torch.Tensor) -> torch.Tensor:
    # Of all tissue, hidden or not: every trial on a view is filled with the same colour.
    return BASELINES["tissue_mean"].make(colours[None], colours[None])[0]


REGION_FILLS.register(
    RegionFill(
        "tissue_mean",
        "tissue mean",
        "One colour, the mean of all tissue in view: no structure is left, and the rim is an edge.",
        _made,
    )
)
