"""Conformal limits: what a new draw exceeds with a known chance, whatever its distribution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from napari_smoothsal.evaluation.bootstrap import CONFIDENCE


def fewest(error_rate: float) -> int:
    """How many draws a limit needs."""
    return math.ceil(round(1 / error_rate, 9)) - 1


def conformal_limit(values: NDArray[np.floating], error_rate: float) -> float:
    """What a further draw exceeds with a chance of ``error_rate`` at most.

    The (n + 1)(1 - error_rate)-th smallest of n exchangeable draws. Of groups, of which each gives
    several values, it is one value of a further group: (groups + 1)(1 - error_rate) x members
    counts (Lee, Barber and Willett, Distribution-free inference with hierarchical data, 2023).

    Parameters
    ----------
    values
        (n,), or (groups, members).
    error_rate
        Above 1 / (n + 1), or 1 / (groups + 1).
    """
    members = values.shape[1] if values.ndim == 2 else 1
    # Rounded: 20 * 0.95 is to be 19.
    rank = math.ceil(round((len(values) + 1) * (1 - error_rate) * members, 9))
    assert 1 <= rank <= values.size
    return float(np.sort(values, axis=None)[rank - 1])


def expected_share(n: int, error_rate: float) -> tuple[float, float]:
    """Where the share of further draws above the limit of n draws lies, with 95 %.

    The limit comes out by chance: of one calibration that share is drawn from a beta distribution
    (Vovk, Conditional validity of inductive conformal predictors, 2012).
    """
    above = math.floor(round((n + 1) * error_rate, 9))
    rest = (1 - CONFIDENCE) / 2
    low, high = stats.beta(above, n + 1 - above).ppf([rest, 1 - rest])
    return float(low), float(high)


def counted_share(above: int, n: int) -> tuple[float, float]:
    """Where the share of further draws lies that are above a limit of which n draws know nothing.

    With 95 %, after Clopper and Pearson; ``above`` of the n are.
    """
    found = stats.binomtest(above, n).proportion_ci(CONFIDENCE)
    return float(found.low), float(found.high)
