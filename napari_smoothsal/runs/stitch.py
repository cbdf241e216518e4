"""BandStitcher: overlapping patches in, finished rows of a map out, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs.accumulators import BUDGET_BYTES, Accumulators

Array = NDArray[np.float32]

BLOCK_PX = 2048
"""Width of what is finished at once. A multiple of a chunk's, so that each chunk of level 0 is
written once; copies that are made on the way to the store are no larger."""


@dataclass(frozen=True)
class Block:
    """A finished part of a map.

    Attributes
    ----------
    y, x
        Of its first pixel.
    values
        (h, w) or (channels, h, w) means; NaN where nothing was added.
    """

    y: int
    x: int
    values: Array

    def place(self, level: int, values: Array) -> tuple[slice, slice]:
        """Where its values (..., h, w) lie on a level, each half as large as the one before."""
        y, x = self.y >> level, self.x >> level
        return slice(y, y + values.shape[-2]), slice(x, x + values.shape[-1])


class BandStitcher:
    """Accumulates sums of w v and of w on one map, in bands of one chunk row.

    Parameters
    ----------
    shape
        (h, w) of the map.
    band
        Rows per band: the chunk height of the store.
    open_bands
        (bands,) bool: those that are not written yet; None: all. What patches add elsewhere is
        dropped.
    scratch
        Folder for sums that do not fit into memory.
    budget_bytes
        Memory that sums may take.

    Notes
    -----
    Sums exist only between the first patch that touches them and `finish`: of one band plus one
    row of tiles, where there are tiles. Memory grows with neither height nor width of the slide.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        band: int,
        open_bands: NDArray[np.bool_] | None = None,
        scratch: Path | None = None,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._height, self._width = shape
        self._band = band
        self._block = max(BLOCK_PX // band, 1) * band
        bands = -(-self._height // band)
        self._open = np.ones(bands, np.bool_) if open_bands is None else open_bands[:bands].copy()
        self._next = 0
        self._channels: tuple[int, ...] = ()
        self._sums = Accumulators(band, min(self._block, self._width), scratch, budget_bytes)

    def add(self, y: int, x: int, patch: Array, weights: Array) -> None:
        """Add a patch whose upper left pixel is (y, x); parts outside are dropped.

        Parameters
        ----------
        y, x
            On the map; may be negative.
        patch
            (h, w), or (channels, h, w) as every other patch of the map.
        weights
            (h, w), above 0.
        """
        top, left = max(y, 0), max(x, 0)
        bottom = min(y + patch.shape[-2], self._height)
        right = min(x + patch.shape[-1], self._width)
        if top >= bottom or left >= right:
            return
        self._channels = patch.shape[:-2]
        weighted = weights * patch
        for band in range(top // self._band, (bottom - 1) // self._band + 1):
            if not self._open[band]:
                continue
            start, stop = max(top, band * self._band), min(bottom, (band + 1) * self._band)
            for block in range(left // self._block, (right - 1) // self._block + 1):
                first = max(left, block * self._block)
                end = min(right, (block + 1) * self._block)
                sums = self._sums.at((band, block), self._depth)
                part = np.s_[..., start - y : stop - y, first - x : end - x]
                place = np.s_[
                    start - band * self._band : stop - band * self._band,
                    first - block * self._block : end - block * self._block,
                ]
                sums[(np.s_[:-1], *place)] += weighted[part]
                sums[(-1, *place)] += weights[part]

    def finish(self, below: int | None) -> Iterator[tuple[int, Iterator[Block]]]:
        """Yield the bands that no further patch will touch, each once, in order.

        Parameters
        ----------
        below
            First row that patches still to come may touch; None: there are no more patches.

        Yields
        ------
        band, blocks
            Index, and its parts to which something was added; take them before the next band.
        """
        bands = len(self._open)
        until = bands if below is None else min(bands, max(below, 0) // self._band)
        while self._next < until:
            band = self._next
            self._next += 1
            if self._open[band]:
                self._open[band] = False
                yield band, self._blocks(band)

    @property
    def _depth(self) -> int:
        return int(np.prod(self._channels, dtype=int))

    def _blocks(self, band: int) -> Iterator[Block]:
        rows = min(self._band, self._height - band * self._band)
        for key in sorted(k for k in self._sums.keys() if k[0] == band):  # noqa: SIM118
            sums = self._sums.pop(key, self._depth)
            assert sums is not None
            start = key[1] * self._block
            sums = sums[:, :rows, : self._width - start]
            values = np.full(sums[:-1].shape, np.nan, np.float32)
            np.divide(sums[:-1], sums[-1], out=values, where=sums[-1] > 0)
            yield Block(
                band * self._band, start, values.reshape(*self._channels, *values.shape[1:])
            )


def touched(
    top: NDArray[np.int64], height: int, bands: NDArray[np.bool_], band: int
) -> NDArray[np.bool_]:
    """(N,) whether patches of some height, from rows ``top`` on, reach into certain bands.

    Parameters
    ----------
    top, height
        Rows of the patches, which may begin above the map and end below it.
    bands
        (bands,) those that count.
    band
        Rows per band.
    """
    count = np.concatenate([[0], np.cumsum(bands)])
    first = np.clip(top // band, 0, len(bands))
    end = np.clip(-(-(top + height) // band), first, len(bands))
    return np.asarray(count[end] > count[first])
