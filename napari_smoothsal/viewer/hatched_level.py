"""Hatched cells as a pyramid that is computed as it is drawn: stripes of one width at every zoom.

napari draws the level whose pixels are half a screen pixel to a screen pixel wide. Each level has
stripes of so many of *its* pixels, so that they are as far apart on the screen whether a tile
fills the window or is smaller than a stripe. Going nearer, stripes stay and others come between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bounds = tuple[tuple[float, float], tuple[float, float]]
"""Where something begins and ends along rows and along columns, in pixels."""

PERIOD = 28
"""From stripe to stripe along a row; 20 pixels across them."""
WIDTH = 1.6
OUTLINE = 2
"""Pixels: of one alone, every other would be passed over where two fall on a screen pixel."""
RIM = 1.0
"""Of the light line on either side of a stripe, for what is dark."""
LIGHT, DARK = 128, 255
"""Values of the rim and of the stripe; 0 between stripes."""
COARSEST_PX = 128
CHUNK_PX = 256
"""napari draws whole ones, so that not every step of a pan is computed."""


def _profile() -> NDArray[np.uint8]:
    """Values by the sum of row and column, over one period."""
    along = (np.arange(PERIOD) + 1 + PERIOD / 2) % PERIOD - PERIOD / 2
    across = np.abs(along) / np.sqrt(2)
    places = (WIDTH / 2 - 0.5, WIDTH / 2 + 0.5, WIDTH / 2 + RIM - 0.5, WIDTH / 2 + RIM + 0.5)
    values = np.interp(across, places, (DARK, LIGHT, LIGHT, 0))
    return np.asarray(values.round(), np.uint8)


PROFILE = _profile()


class HatchedLevel:
    """One level (h, w): stripes over hatched cells and a line around them, 0 elsewhere.

    Without the line a single tile that is smaller than a stripe could fall between two.

    Parameters
    ----------
    hatched
        (rows, columns) of cells.
    per_cell
        Pixels of the level on a cell's side.
    bounds
        Beyond them nothing is hatched; None: all cells are whole.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(
        self, hatched: NDArray[np.bool_], per_cell: int, bounds: Bounds | None = None
    ) -> None:
        self._hatched = hatched
        self._bounds = bounds
        self._per_cell = per_cell
        self.shape: tuple[int, int] = (hatched.shape[0] * per_cell, hatched.shape[1] * per_cell)
        self.chunks: tuple[int, int] = (CHUNK_PX, CHUNK_PX)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, key: Any) -> Any:
        given = key if isinstance(key, tuple) else (key,)
        parts = [k for k in (*given, slice(None), slice(None)) if k is not Ellipsis][:2]
        wanted = [np.asarray(range(n)[k]) for n, k in zip(self.shape, parts, strict=True)]
        shape = wanted[0].shape + wanted[1].shape
        rows, columns = (np.atleast_1d(places) for places in wanted)
        if not (rows.size and columns.size):
            return np.zeros(shape, self.dtype)
        # Rows repeat with the period, and within a cell: whole rows are copied, not pixels.
        stripes = PROFILE[(np.arange(PERIOD)[:, None] + columns) % PERIOD]
        cells = rows // self._per_cell
        first, last = int(cells.min()), int(cells.max())
        inside = self._hatched[first : last + 1].take(columns // self._per_cell, axis=1)
        values = stripes[rows % PERIOD] * inside[cells - first]
        _outline(values, self._hatched, self._per_cell, rows, columns)
        _outline(values.T, self._hatched.T, self._per_cell, columns, rows)
        if self._bounds is not None:
            for axis, (places, (low, high)) in enumerate(
                zip((rows, columns), self._bounds, strict=True)
            ):
                inside = (places + 1 > low) & (places < high)
                values *= np.expand_dims(inside, 1 - axis)
        return values.reshape(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def _outline(
    values: NDArray[np.uint8],
    hatched: NDArray[np.bool_],
    per_cell: int,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> None:
    """Draw lines where the cell above or below a hatched one is not hatched."""
    around = np.pad(hatched, ((1, 1), (0, 0)))
    place = rows % per_cell
    sides = (place < OUTLINE, around[:-2]), (place >= per_cell - OUTLINE, around[2:])
    for near, beyond in sides:
        at = np.flatnonzero(near)
        edge = (hatched & ~beyond)[rows[at] // per_cell].take(columns // per_cell, axis=1)
        values[at] = np.where(edge, DARK, values[at])


def hatched_levels(
    hatched: NDArray[np.bool_], per_cell: int, bounds: Bounds | None = None
) -> list[HatchedLevel]:
    """Levels, each half the one before, the first with so many pixels, a power of 2, per cell.

    Where a pixel is larger than a cell, it is hatched if any of its cells is.
    """
    halvings = 0
    while max(hatched.shape) > COARSEST_PX << halvings:
        halvings += 1
    # Up to whole pixels of the coarsest level: napari takes the ratio of sizes for that of pixels.
    more = [(0, -size % (1 << halvings)) for size in hatched.shape]
    hatched = np.pad(hatched, more)
    levels: list[HatchedLevel] = []
    while per_cell >= 1:
        levels.append(HatchedLevel(hatched, per_cell, _shrunk(bounds, len(levels))))
        per_cell //= 2
    for _ in range(halvings):
        hatched = hatched[::2] | hatched[1::2]
        hatched = hatched[:, ::2] | hatched[:, 1::2]
        levels.append(HatchedLevel(hatched, 1, _shrunk(bounds, len(levels))))
    return levels


def _shrunk(bounds: Bounds | None, level: int) -> Bounds | None:
    if bounds is None:
        return None
    (top, bottom), (left, right) = bounds
    by = 2.0**level
    return (top / by, bottom / by), (left / by, right / by)
