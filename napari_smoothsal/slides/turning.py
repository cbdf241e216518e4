"""Tissue has no up and no left: a tile may be turned and mirrored."""

from __future__ import annotations

import random

import torch


def turned(tile: torch.Tensor, chance: random.Random | None) -> torch.Tensor:
    """A square tile (C, H, W) in one of its eight orientations; None: as it is."""
    if chance is None:
        return tile
    tile = torch.rot90(tile, chance.randrange(4), (1, 2))
    return tile.flip(2) if chance.randrange(2) else tile
