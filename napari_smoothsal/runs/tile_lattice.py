"""TileLattice: which tile a place of a map belongs to, where tiles overlap and some are missing.

A place belongs to the tile whose middle is nearest among those whose maps reach it. Tiles stand at
equal distances, so this is decided once for each part of a cell, the rectangle of one step around
a tile's middle: the maps of its neighbours begin and end at the same places in every cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

Pair = tuple[float, float]
Numbers = NDArray[np.int32]

_ROUNDING = 1e-6
"""Shares of a step that are taken for nothing."""


@dataclass(frozen=True)
class TileLattice:
    """Tiles by rows and columns.

    Attributes
    ----------
    tiles
        (rows, columns) number of the tile, from 1; 0 where there is none.
    corner_px
        (y, x) level-0 px where the map of the first row and column begins.
    kept_px, step_px
        (y, x) level-0 px of a tile's map, and from tile to tile; the map is no smaller.
    """

    tiles: Numbers
    corner_px: Pair
    kept_px: Pair
    step_px: Pair

    @cached_property
    def cuts(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(y, x): shares of a cell at which its parts begin, but for the first part."""
        return _cuts(self.kept_px[0] / self.step_px[0]), _cuts(self.kept_px[1] / self.step_px[1])

    @property
    def beyond(self) -> tuple[int, int]:
        """(rows, columns) of cells around those of the tiles, into which their maps reach."""
        y, x = (_reach(kept / step) for kept, step in zip(self.kept_px, self.step_px, strict=True))
        return y, x

    @property
    def start_px(self) -> Pair:
        """(y, x) level-0 px where the first cell begins, of those beyond."""
        y, x = (
            corner + (kept - step) / 2 - cells * step
            for corner, kept, step, cells in zip(
                self.corner_px, self.kept_px, self.step_px, self.beyond, strict=True
            )
        )
        return y, x

    def owners(self, present: NDArray[np.bool_]) -> Numbers:
        """Number of the tile that each part of each cell belongs to, 0 where none reaches.

        Parameters
        ----------
        present
            (tiles,) which ones count; those that do not leave their place to their neighbours.

        Returns
        -------
        ndarray
            (cells * parts, cells * parts) along rows and columns.
        """
        counted = np.concatenate([[False], present])
        (up, left), (ny, nx) = self.beyond, (len(cuts) + 1 for cuts in self.cuts)
        around = np.where(counted[self.tiles], self.tiles, 0).astype(np.int32)
        around = np.pad(around, ((2 * up, 2 * up), (2 * left, 2 * left)))
        height, width = (n + 2 * b for n, b in zip(self.tiles.shape, self.beyond, strict=True))
        found = np.zeros((height * ny, width * nx), np.int32)
        for py, px in product(range(ny), range(nx)):
            part = found[py::ny, px::nx]
            for dy, dx in self._nearest_first(py, px):
                neighbour = around[up + dy :, left + dx :][:height, :width]
                np.copyto(part, neighbour, where=part == 0)
        return found

    def part_of(self, axis: int, places: NDArray[np.float64]) -> NDArray[np.intp]:
        """Row (axis 0) or column of `owners` in which level-0 px lie; -1 beyond all cells."""
        share = (places - self.start_px[axis]) / self.step_px[axis]
        cells = self.tiles.shape[axis] + 2 * self.beyond[axis]
        part = part_in_cell(share, self.cuts[axis])
        return np.where((share >= 0) & (share < cells), part, -1)

    def at(
        self, values: NDArray[np.generic], y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> NDArray[np.generic]:
        """(h, w) of an array like `owners` at places, 0 beyond it.

        Parameters
        ----------
        values
            One for each part.
        y, x
            (h,) and (w,) level-0 px; the slide's pixel p covers p to p + 1.
        """
        rows, columns = self.part_of(0, y), self.part_of(1, x)
        found = values[np.ix_(rows, columns)]
        return np.where((rows < 0)[:, None] | (columns < 0), values.dtype.type(0), found)

    def _nearest_first(self, *part: int) -> Iterator[tuple[int, int]]:
        """Offsets (rows, columns) of the tiles that reach a part of a cell."""
        reaching = []
        for n, cuts, kept, step in zip(part, self.cuts, self.kept_px, self.step_px, strict=True):
            edges = (0.0, *cuts, 1.0)
            middle = (edges[n] + edges[n + 1]) / 2 - 0.5
            reach = _reach(kept / step)
            apart = {j: (middle - j) * step for j in range(-reach, reach + 1)}
            reaching.append({j: d for j, d in apart.items() if abs(d) < kept / 2})
        rows, columns = reaching
        pairs = product(rows, columns)
        return iter(sorted(pairs, key=lambda p: (np.hypot(rows[p[0]], columns[p[1]]).round(6), p)))


def part_in_cell(share: NDArray[np.float64], cuts: tuple[float, ...]) -> NDArray[np.intp]:
    """Number of the part, through all cells, of places that are given in cells."""
    cell = np.floor(share)
    within = share - cell
    part = cell.astype(np.intp) * (len(cuts) + 1)
    for cut in cuts:
        part += within >= cut
    return part


def _cuts(kept: float) -> tuple[float, ...]:
    """Where maps of so many steps begin and end within a cell."""
    begin = (1 - kept) / 2 % 1.0
    found = sorted({round(begin, 9), round(1 - begin, 9)})
    inside = [cut for cut in found if _ROUNDING < cut < 1 - _ROUNDING]
    return tuple(inside[:1] if len(inside) == 2 and inside[1] - inside[0] < _ROUNDING else inside)


def _reach(kept: float) -> int:
    """How many cells away from its own a map of so many steps still reaches."""
    return max(0, int(np.ceil((kept - 1) / 2 - _ROUNDING)))
