"""Stitched: one image of a store that is put together from tiles and written band by band."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.attribution import BatchMaps
from napari_smoothsal.runs import layout
from napari_smoothsal.runs.ome import level_placement
from napari_smoothsal.runs.pyramid import level_count
from napari_smoothsal.runs.stitch import Block
from napari_smoothsal.runs.zarr_io import array_at
from napari_smoothsal.slides.grid import MapGrid

Pair = tuple[float, float]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """What a block is at one level, and where it belongs.

    Attributes
    ----------
    array
        Path in the store.
    level
        0 is the finest.
    place, values
        What is assigned there.
    """

    array: str
    level: int
    place: tuple[slice, ...]
    values: NDArray[Any]

    def write(self, root: zarr.Group) -> None:
        """Put it into its store."""
        array_at(root, self.array)[self.place] = self.values


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

    def padded(self, block: Block) -> Array:
        """Values (..., h, w) of a block, with NaN out to the padded shape where the map ends."""
        values = block.values
        ends = (block.y + values.shape[-2], block.x + values.shape[-1])
        shape = tuple(
            full - start if end == size else end - start
            for full, size, start, end in zip(
                self.padded_shape, self.grid.shape, (block.y, block.x), ends, strict=True
            )
        )
        padded = np.full((*values.shape[:-2], *shape), np.nan, np.float32)
        padded[..., : values.shape[-2], : values.shape[-1]] = values
        return padded

    def blank(self, band: int) -> Block:
        """A band in which nothing is known."""
        top, (height, width) = band * layout.BAND, self.grid.shape
        rows = min(layout.BAND, height - top)
        return Block(top, 0, np.full((*self.depth, rows, width), np.nan, np.float32))

    @property
    @abstractmethod
    def path(self) -> str:
        """Of its group in the store."""

    @property
    def depth(self) -> tuple[int, ...]:
        """Shape of what is stitched per pixel: none of one value, else the number of values."""
        return ()

    @abstractmethod
    def values(self, result: BatchMaps) -> Array:
        """What is stitched of a batch: (B, h, w), or (B, channels, h, w)."""

    @abstractmethod
    def lay_out(self, root: zarr.Group, mpp: Pair) -> None:
        """Create its groups and arrays in a new store."""

    @abstractmethod
    def pieces(self, block: Block) -> Iterator[Piece]:
        """A finished block, and its share of the coarser levels."""
