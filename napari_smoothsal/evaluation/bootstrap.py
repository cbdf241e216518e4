"""Intervals by a spatial block bootstrap: neighbouring pixels and nuclei are not independent.

The slide is cut into square blocks; resamples draw whole blocks with replacement. Everything that
is measured is a function of sums over blocks, so that a resample is a row of weights (how often
each block was drawn) and 1000 of them are one matrix product.
(Lahiri, Resampling Methods for Dependent Data, 2003, chapter 12.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_UM = 256.0
RESAMPLES = 1000
LEAST_BLOCKS = 10
"""With fewer blocks a percentile interval means nothing, and none is given."""

CONFIDENCE = 0.95

_RESAMPLED_TILES = 2000


class Measured(NamedTuple):
    """A value with its interval; NaN where there is none."""

    value: float
    low: float
    high: float


def sums_by(
    group: NDArray[np.int64], weight: NDArray[np.floating], groups: int
) -> NDArray[np.float64]:
    """(groups,) sums of the (n,) weights of each group."""
    return np.asarray(np.bincount(group, weight, groups), np.float64)


class Blocks:
    """Blocks of a slide and their resamples.

    Parameters
    ----------
    places_um
        (n, 2) what lies in the blocks; blocks without any of it do not exist.
    block_um
        Side of a block.
    resamples, seed
        How often blocks are drawn, and from where the draws derive.

    Attributes
    ----------
    weights
        (resamples, blocks): how often each block was drawn.
    """

    def __init__(
        self,
        places_um: NDArray[np.float64],
        block_um: float = BLOCK_UM,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        self._block_um = block_um
        self._cells = np.unique(self._cell(places_um))
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, max(1, len(self)), (resamples, len(self)))
        row = np.arange(resamples)[:, None]
        number = (row * len(self) + drawn).ravel()
        counts = np.bincount(number, minlength=resamples * len(self))
        self.weights = counts.reshape(resamples, len(self)).astype(np.float64)

    def __len__(self) -> int:
        return len(self._cells)

    def of(self, places_um: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n,) block of each (y, x) place, in micrometres; the nearest in number if outside."""
        found = np.searchsorted(self._cells, self._cell(places_um))
        return np.asarray(np.minimum(found, len(self) - 1))

    def sums(self, block: NDArray[np.int64], weight: NDArray[np.floating]) -> NDArray[np.float64]:
        """(blocks,) sums of (n,) weights over each block."""
        return sums_by(block, weight, len(self))

    def measured(self, value: float, resampled: NDArray[np.float64]) -> Measured:
        """A value with the percentile interval of its (resamples,) resampled values."""
        finite = resampled[np.isfinite(resampled)]
        if len(self) < LEAST_BLOCKS or len(finite) < len(resampled) / 2:
            return Measured(value, np.nan, np.nan)
        rest = (1 - CONFIDENCE) / 2
        low, high = np.quantile(finite, (rest, 1 - rest))
        return Measured(value, float(low), float(high))

    def _cell(self, places_um: NDArray[np.float64]) -> NDArray[np.int64]:
        y, x = np.floor(places_um / self._block_um).astype(np.int64).T
        return np.asarray((y << 32) + x)


def mean_of_tiles(values: NDArray[np.float64], draw: np.random.Generator) -> Measured:
    """Mean of single tiles, which are independent, and its interval of `LEAST_BLOCKS` or more.

    What is not finite is left out.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Measured(np.nan, np.nan, np.nan)
    mean = float(values.mean())
    if len(values) < LEAST_BLOCKS:
        return Measured(mean, np.nan, np.nan)
    means = values[draw.integers(0, len(values), (_RESAMPLED_TILES, len(values)))].mean(1)
    rest = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (rest, 1 - rest))
    return Measured(mean, float(low), float(high))
