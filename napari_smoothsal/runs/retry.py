"""Tiles of a store that are taken back, so that resuming computes what they touched anew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs import layout
from napari_smoothsal.runs.layout import FAILED, NOT_EXPLAINED, PENDING
from napari_smoothsal.runs.stage import corners
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.slides.grid import TileGrid


def set_failed_aside(writer: StoreWriter, grid: TileGrid, images: Mapping[int, Stitched]) -> None:
    """Make failed tiles wait again, and open the bands that they would have touched.

    Parameters
    ----------
    writer
        Of the store, whose status is no longer final when this begins.
    grid, images
        All tiles of the run, and what is stitched of them, by its number in the store.

    Notes
    -----
    Sums of weights are not kept, so that the neighbours of a failed tile are computed again with
    it; what else there is stays.
    """
    writer.set_status("running")
    failed = np.flatnonzero(writer.status() == FAILED)
    _open_touched(writer, grid, images, failed)
    predicted = writer.column("predicted")[failed] >= 0  # type: ignore[operator]
    writer.set_aside(failed[predicted], NOT_EXPLAINED)
    writer.set_aside(failed[~predicted], PENDING)


def forget_maps(
    writer: StoreWriter,
    grid: TileGrid,
    maps: Mapping[int, Stitched],
    tiles: NDArray[np.int64],
) -> None:
    """Make explained tiles ones that are predicted alone, and open the bands that they touched.

    Parameters
    ----------
    writer, grid, maps
        As of `set_failed_aside`; of the maps alone.
    tiles
        Rows of the table.
    """
    _open_touched(writer, grid, maps, tiles)
    unknown = np.full(len(tiles), np.nan, np.float32)
    columns = {f"{name}_{i}": unknown for name in layout.PER_MAP for i in range(len(maps))}
    status = np.full(len(tiles), NOT_EXPLAINED, np.uint8)
    writer.write_tiles(tiles, {**columns, "status": status})


def _open_touched(
    writer: StoreWriter,
    grid: TileGrid,
    images: Mapping[int, Stitched],
    tiles: NDArray[np.int64],
) -> None:
    for number, image in images.items():
        top = corners(image, grid)[tiles, 0]
        first = np.clip(top // layout.BAND, 0, image.bands)
        last = (top + grid.windows[image.window].count[0] - 1) // layout.BAND
        bands = np.zeros(image.bands, np.bool_)
        for a, b in zip(first, np.clip(last, -1, image.bands - 1), strict=True):
            bands[a : b + 1] = True
        writer.open_again(number, bands)
