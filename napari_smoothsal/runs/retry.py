"""Failed tiles of a store that is complete otherwise: set aside, so that resuming takes them up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_smoothsal.runs import layout
from napari_smoothsal.runs.layout import FAILED, NOT_EXPLAINED, PENDING
from napari_smoothsal.runs.stage import corners
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.slides.grid import TileGrid


def set_failed_aside(writer: StoreWriter, grid: TileGrid, images: Sequence[Stitched]) -> None:
    """Make failed tiles wait again, and open the bands that they would have touched.

    Parameters
    ----------
    writer
        Of the store, whose status is no longer final when this begins.
    grid, images
        All tiles of the run, and what is stitched of them.

    Notes
    -----
    Sums of weights are not kept, so that the neighbours of a failed tile are computed again with
    it; what else there is stays.
    """
    writer.set_status("running")
    failed = np.flatnonzero(writer.status() == FAILED)
    for number, image in enumerate(images):
        top = corners(image, grid)[failed, 0]
        first = np.clip(top // layout.BAND, 0, image.bands)
        last = (top + grid.windows[image.window].count[0] - 1) // layout.BAND
        bands = np.zeros(image.bands, np.bool_)
        for a, b in zip(first, np.clip(last, -1, image.bands - 1), strict=True):
            bands[a : b + 1] = True
        writer.open_again(number, bands)
    predicted = writer.column("predicted")[failed] >= 0  # type: ignore[operator]
    writer.set_aside(failed[predicted], NOT_EXPLAINED)
    writer.set_aside(failed[~predicted], PENDING)
