"""Stage: tiles of a run that are computed alike, and the images that they fill.

A run has one stage, or two: all tiles are predicted, then those that were chosen are explained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.runs.layout import DONE, FAILED
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.slides.grid import TileGrid


@dataclass(frozen=True)
class Stage:
    """Part of a run.

    Attributes
    ----------
    name
        What is done to the tiles, for the eye.
    explainer
        Computes them.
    grid
        The tiles, row by row.
    tiles
        (n,) their rows in the run's table.
    images
        What is stitched of them, by its number in the store.
    decides
        Whether the model's decisions are written; else the tiles have theirs.
    good
        Status of a tile that could be computed.
    """

    name: str
    explainer: Explainer
    grid: TileGrid
    tiles: NDArray[np.int64]
    images: Mapping[int, Stitched]
    decides: bool = True
    good: int = DONE

    def __len__(self) -> int:
        return len(self.tiles)

    def finished(self, status: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) whether its tiles are behind it, of the status of all tiles of the run."""
        return np.isin(status[self.tiles], (self.good, DONE, FAILED))

    def batches(self, size: int) -> list[NDArray[np.int64]]:
        """Its tiles (numbers 0..n-1) as they are computed together, always the same."""
        n = len(self)
        return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]

    @cached_property
    def corners(self) -> dict[int, NDArray[np.int64]]:
        """(n, 2) of each image: map pixel (y, x) of each tile's first kept layer pixel."""
        return {number: corners(image, self.grid) for number, image in self.images.items()}


def corners(image: Stitched, grid: TileGrid) -> NDArray[np.int64]:
    """(N, 2): pixel (y, x) of an image where each tile's kept part begins."""
    window = grid.windows[image.window]
    corner = grid.origins // np.array(window.stride)
    return np.asarray(corner + np.array(window.first) - np.array(image.grid.origin))
