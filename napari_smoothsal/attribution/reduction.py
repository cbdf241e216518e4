"""From a raw map (B, C, h, w) to one value per layer pixel (B, h, w)."""

from __future__ import annotations

from collections.abc import Callable

import torch

REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sum": lambda maps: maps.sum(1),
    "mean": lambda maps: maps.mean(1),
    "absolute": lambda maps: maps.abs().sum(1),
    "positive": lambda maps: maps.clamp(min=0).sum(1),
    # The only one there is: it was cut out of every sample, so that error, total variation and
    # memory are its own.
    "channel": lambda maps: maps[:, 0],
}


def reduce_channels(maps: torch.Tensor, reduction: str) -> torch.Tensor:
    """Combine channels as ``SaliencySpec.reduction`` says; never normalised per tile."""
    return REDUCTIONS[reduction](maps)
