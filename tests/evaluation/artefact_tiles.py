"""Synthetic tiles with artefacts drawn onto them, for tests of what finds them."""

from collections.abc import Collection
from functools import cache

import numpy as np
import torch

from napari_smoothsal.sample_data.artefacts import drawn
from napari_smoothsal.sample_data.tiles import render_tiles

SIDE, TILES = 64, 24


@cache
def plain() -> np.ndarray:
    """Tumour and normal tissue in turn: (n, H, W, 3)."""
    return render_tiles(500, TILES, 0.5, SIDE)[0]


LABELS = [i % 2 for i in range(TILES)]


def tiles_with(name: str, on: Collection[int] = range(TILES)) -> torch.Tensor:
    """(n, 3, H, W), with an artefact on some."""
    rng = np.random.default_rng(0)
    tiles = [drawn(t, {name} if i in on else set(), rng) for i, t in enumerate(plain())]
    return torch.from_numpy(np.stack(tiles)).movedim(-1, 1).contiguous()
