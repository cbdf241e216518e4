"""Two ways of doing a thing on the same tiles: how far they differ, and how surely."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from napari_smoothsal.evaluation.bootstrap import LEAST_BLOCKS

_RESAMPLES = 2000


class Paired(NamedTuple):
    """Differences over tiles.

    Attributes
    ----------
    difference, low, high
        Mean, and its 95 % bootstrap interval over tiles; NaN of fewer than ten tiles.
    p
        Of Wilcoxon's signed-rank test (two-sided, of one comparison).
    tiles
        How many there are.
    """

    difference: float
    low: float
    high: float
    p: float
    tiles: int


def paired(differences: NDArray[np.float64], generator: np.random.Generator) -> Paired:
    """Sum up the differences of one or more tiles (n,)."""
    low, high, count = np.nan, np.nan, len(differences)
    if count >= LEAST_BLOCKS:
        draws = generator.integers(0, count, (_RESAMPLES, count))
        low, high = np.percentile(differences[draws].mean(1), [2.5, 97.5])
    p = wilcoxon(differences).pvalue if np.any(differences) else 1.0
    return Paired(float(differences.mean()), float(low), float(high), float(p), count)
