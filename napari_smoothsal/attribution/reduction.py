"""From a raw map (B, C, h, w) to one value per layer pixel (B, h, w)."""

from __future__ import annotations

from collections.abc import Callable

import torch

REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sum": lambda maps: maps.sum(1),
    "mean": lambda maps: maps.mean(1),
    "absolute": lambda maps: maps.abs().sum(1),
    "positive": lambda maps: maps.clamp(min=0).sum(1),
}


def reduce_channels(maps: torch.Tensor, reduction: str) -> torch.Tensor:
    """Combine channels as ``SaliencySpec.reduction`` says; never normalised per tile."""
    return REDUCTIONS[reduction](maps)
