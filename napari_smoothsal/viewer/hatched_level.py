"""Marked cells as a pyramid that is computed as it is drawn: a pattern of one size at every zoom.

napari draws the level whose pixels are half a screen pixel to a screen pixel wide. Each level has
stripes, or dots, of so many of *its* pixels, so that they are as far apart on the screen whether a
tile fills the window or is smaller than a stripe. Going nearer, they stay and others come between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs.tile_lattice import part_in_cell

Cuts = tuple[tuple[float, ...], tuple[float, ...]]
"""(rows, columns) shares of a cell at which its parts begin, but for the first part."""
WHOLE: Cuts = ((), ())
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


DOT_PERIOD, DOT_RADIUS = 16, 1.9
"""Pixels along rows and columns; another dot lies between four. Between them all is as light as
the rims: dark nuclei would hide dots alone, and what is explained stands out."""


def _inked(distance: NDArray[np.float64], half_width: float) -> NDArray[np.uint8]:
    """Values by the distance from the middle of a stripe or a dot."""
    within = (-0.5, 0.5, RIM - 0.5, RIM + 0.5)
    places = [half_width + beyond for beyond in within]
    return np.asarray(np.interp(distance, places, (DARK, LIGHT, LIGHT, 0)).round(), np.uint8)


def _stripes() -> NDArray[np.uint8]:
    rows, columns = np.indices((PERIOD, PERIOD))
    along = (rows + columns + 1 + PERIOD / 2) % PERIOD - PERIOD / 2
    return _inked(np.abs(along) / np.sqrt(2), WIDTH / 2)


def _dots() -> NDArray[np.uint8]:
    places = np.indices((DOT_PERIOD, DOT_PERIOD))
    half = DOT_PERIOD / 2
    corner, middle = (
        np.hypot(*((places + shift) % DOT_PERIOD - half)) for shift in (half, DOT_PERIOD)
    )
    return np.maximum(_inked(np.minimum(corner, middle), DOT_RADIUS), np.uint8(LIGHT))


STRIPES, DOTS = _stripes(), _dots()


class HatchedLevel:
    """One level (h, w): a pattern over marked cells and a line around them, 0 elsewhere.

    Without the line a single tile that is smaller than a stripe could fall between two.

    Parameters
    ----------
    hatched
        (rows, columns) of parts of cells.
    per_cell
        Pixels of the level on a cell's side.
    bounds
        Beyond them nothing is hatched; None: all cells are whole.
    cuts
        Where the parts of a cell begin.
    pattern
        (n, n) that is repeated.
    against
        Parts that they are lined against; None: all that are not hatched.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        hatched: NDArray[np.bool_],
        per_cell: int,
        bounds: Bounds | None = None,
        *,
        cuts: Cuts = WHOLE,
        pattern: NDArray[np.uint8] = STRIPES,
        against: NDArray[np.bool_] | None = None,
    ) -> None:
        self._hatched = hatched
        self._against = ~hatched if against is None else against
        self._open_ends = against is None
        self._bounds = bounds
        self._per_cell = per_cell
        self._cuts = cuts
        self._pattern = pattern
        height, width = _cells(hatched, cuts)
        self.shape: tuple[int, int] = (height * per_cell, width * per_cell)
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
        # Rows repeat with the period, and within a part: whole rows are copied, not pixels.
        period = len(self._pattern)
        ink = self._pattern[:, columns % period]
        down, across = self._parts(0, rows), self._parts(1, columns)
        first, last = int(down.min()), int(down.max())
        inside = self._hatched[first : last + 1].take(across, axis=1)
        values = ink[rows % period] * inside[down - first]
        self._outline(values, 0, rows, across)
        self._outline(values.T, 1, columns, down)
        if self._bounds is not None:
            for axis, (places, (low, high)) in enumerate(
                zip((rows, columns), self._bounds, strict=True)
            ):
                inside = (places + 1 > low) & (places < high)
                values *= np.expand_dims(inside, 1 - axis)
        return values.reshape(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def _parts(self, axis: int, pixels: NDArray[np.intp]) -> NDArray[np.intp]:
        """Row or column of parts in which the middles of pixels lie."""
        return part_in_cell((pixels + 0.5) / self._per_cell, self._cuts[axis])

    def _outline(
        self,
        values: NDArray[np.uint8],
        axis: int,
        pixels: NDArray[np.intp],
        others: NDArray[np.intp],
    ) -> None:
        """Draw lines where hatched parts end along an axis; ``others`` are parts of the other."""
        hatched, against = (x.T if axis else x for x in (self._hatched, self._against))
        parts = self._parts(axis, pixels)
        for step in (-OUTLINE, OUTLINE):
            beyond = self._parts(axis, pixels + step)
            at = np.flatnonzero(beyond != parts)
            there = (beyond[at] >= 0) & (beyond[at] < len(hatched))
            ending = np.where(
                there[:, None],
                against[np.where(there, beyond[at], 0)].take(others, axis=1),
                self._open_ends,
            )
            edge = hatched[parts[at]].take(others, axis=1) & ending
            values[at] = np.where(edge, DARK, values[at])


def _cells(parts: NDArray[np.bool_], cuts: Cuts) -> tuple[int, int]:
    """Number of cells along rows and columns."""
    height, width = (n // (len(c) + 1) for n, c in zip(parts.shape, cuts, strict=True))
    return height, width


def _whole_cells(parts: NDArray[np.bool_], cuts: Cuts) -> NDArray[np.bool_]:
    """Cells of which any part is marked."""
    (height, width), (ny, nx) = _cells(parts, cuts), (len(c) + 1 for c in cuts)
    return np.asarray(parts.reshape(height, ny, width, nx).any(axis=(1, 3)))


def _halved(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows = cells[::2] | cells[1::2]
    return np.asarray(rows[:, ::2] | rows[:, 1::2])


def hatched_levels(
    hatched: NDArray[np.bool_],
    per_cell: int,
    bounds: Bounds | None = None,
    *,
    cuts: Cuts = WHOLE,
    pattern: NDArray[np.uint8] = STRIPES,
    against: NDArray[np.bool_] | None = None,
) -> list[HatchedLevel]:
    """Levels, each half the one before, the first with so many pixels, a power of 2, per cell.

    Where a pixel is larger than a cell, it is hatched if any of its cells is; but for what it is
    lined against, if that is given: single tiles of that are not lost between dots.
    """
    halvings = 0
    while max(_cells(hatched, cuts)) > COARSEST_PX << halvings:
        halvings += 1
    # Up to whole pixels of the coarsest level: napari takes the ratio of sizes for that of pixels.
    more = [
        (0, -cells % (1 << halvings) * (len(c) + 1))
        for cells, c in zip(_cells(hatched, cuts), cuts, strict=True)
    ]
    hatched = np.pad(hatched, more)
    against = None if against is None else np.pad(against, more)
    levels: list[HatchedLevel] = []

    def add(per: int, within: Cuts) -> None:
        shrunk = _shrunk(bounds, len(levels))
        level = HatchedLevel(hatched, per, shrunk, cuts=within, pattern=pattern, against=against)
        levels.append(level)

    while per_cell >= 1:
        add(per_cell, cuts)
        per_cell //= 2
    if halvings:
        hatched = _whole_cells(hatched, cuts)
        against = None if against is None else _whole_cells(against, cuts)
    for _ in range(halvings):
        hatched = _halved(hatched)
        if against is not None:
            against = _halved(against)
            hatched &= ~against
        add(1, WHOLE)
    return levels


def _shrunk(bounds: Bounds | None, level: int) -> Bounds | None:
    if bounds is None:
        return None
    (top, bottom), (left, right) = bounds
    by = 2.0**level
    return (top / by, bottom / by), (left / by, right / by)
