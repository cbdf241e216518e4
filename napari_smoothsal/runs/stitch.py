"""BandStitcher: overlapping patches in, finished rows of a map out, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class BandStitcher:
    """Accumulates sums of w v and of w on one map, in bands of one chunk row.

    Parameters
    ----------
    shape
        (h, w) of the map.
    band
        Rows per band: the chunk height of the store.
    first_band
        Bands above it are already written; what patches add there is dropped.

    Notes
    -----
    Bands exist only between the first patch that touches them and `finish`, so memory is that of
    one band plus one row of tiles, whatever the slide's height.
    """

    def __init__(self, shape: tuple[int, int], band: int, first_band: int = 0) -> None:
        self._height, self._width = shape
        self._band = band
        self._next = first_band
        self._sums: dict[int, tuple[Array, Array]] = {}

    @property
    def bands(self) -> int:
        """Number of bands of the map."""
        return -(-self._height // self._band)

    @property
    def first_open_row(self) -> int:
        """First row that is not finished; the map's height when all are."""
        return min(self._next * self._band, self._height)

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
        top, left = max(y, self._next * self._band, 0), max(x, 0)
        bottom = min(y + patch.shape[-2], self._height)
        right = min(x + patch.shape[-1], self._width)
        if top >= bottom or left >= right:
            return
        for band in range(top // self._band, (bottom - 1) // self._band + 1):
            start, stop = max(top, band * self._band), min(bottom, (band + 1) * self._band)
            w = weights[start - y : stop - y, left - x : right - x]
            v = patch[..., start - y : stop - y, left - x : right - x]
            value, weight = self._accumulators(band, patch.shape[:-2])
            rows = slice(start - band * self._band, stop - band * self._band)
            value[..., rows, left:right] += w * v
            weight[rows, left:right] += w

    def finish(self, below: int | None) -> Iterator[tuple[int, Array | None]]:
        """Yield the bands that no further patch will touch, each once, in order.

        Parameters
        ----------
        below
            First row that patches still to come may touch; None: there are no more patches.

        Yields
        ------
        band, rows
            Index and (rows, w) or (channels, rows, w) mean values, NaN where nothing was added;
            None instead of an array where nothing at all was.
        """
        until = self.bands if below is None else min(self.bands, max(below, 0) // self._band)
        while self._next < until:
            band = self._next
            self._next += 1
            sums = self._sums.pop(band, None)
            yield band, None if sums is None else _mean(*sums)

    def _accumulators(self, band: int, channels: tuple[int, ...]) -> tuple[Array, Array]:
        if band not in self._sums:
            rows = min(self._band, self._height - band * self._band)
            shape = (rows, self._width)
            value = np.zeros((*channels, *shape), np.float32)
            self._sums[band] = value, np.zeros(shape, np.float32)
        return self._sums[band]


def _mean(value: Array, weight: Array) -> Array:
    mean = np.full_like(value, np.nan)
    np.divide(value, weight, out=mean, where=weight > 0)
    return mean
