"""Stitched: one image of a store that is put together from tiles and written band by band."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.attribution import BatchMaps
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.ome import level_placement
from napari_smoothsal.runs.pyramid import level_count
from napari_smoothsal.slides.grid import MapGrid

Pair = tuple[float, float]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Stitched(ABC):
    """One image as it will be stored.

    Attributes
    ----------
    window
        Name of the layer whose window of each tile is stitched; see `TileGrid.windows`.
    grid
        Shape and placement in level-0 px.
    """

    window: str
    grid: MapGrid

    @property
    def levels(self) -> int:
        """Number of levels, down to at most 1024 px."""
        return level_count(self.grid.shape, layout.COARSEST_PX, layout.BAND)

    @property
    def padded_shape(self) -> tuple[int, int]:
        """Shape of level 0: a multiple of the coarsest level's pixels, so that ratios are exact."""
        unit = 2 ** (self.levels - 1)
        h, w = self.grid.shape
        return (-(-h // unit) * unit, -(-w // unit) * unit)

    @property
    def bands(self) -> int:
        """Number of bands, one row of chunks each."""
        return -(-self.padded_shape[0] // layout.BAND)

    def placement_um(self, mpp: Pair) -> tuple[list[Pair], list[Pair]]:
        """Scale and translate of each level in micrometres, (y, x)."""
        (sy, sx), (ty, tx) = self.grid.scale_px, self.grid.translate_px
        scale, place = (sy * mpp[0], sx * mpp[1]), (ty * mpp[0], tx * mpp[1])
        return level_placement(scale, place, self.levels)

    def padded(self, band: int, rows: Array) -> Array:
        """Rows (..., h, w) of a band, with NaN out to the padded shape."""
        height, width = self.padded_shape
        shape = (*rows.shape[:-2], min(layout.BAND, height - band * layout.BAND), width)
        padded = np.full(shape, np.nan, np.float32)
        padded[..., : rows.shape[-2], : rows.shape[-1]] = rows
        return padded

    @property
    @abstractmethod
    def path(self) -> str:
        """Of its group in the store."""

    @abstractmethod
    def values(self, result: BatchMaps) -> Array:
        """What is stitched of a batch: (B, h, w), or (B, channels, h, w)."""

    @abstractmethod
    def lay_out(self, root: zarr.Group, mpp: Pair) -> None:
        """Create its groups and arrays in a new store."""

    @abstractmethod
    def write_band(self, root: zarr.Group, band: int, rows: Array) -> None:
        """Write one band (..., h, w) from `BandStitcher.finish`, and its share of the coarser
        levels."""
