"""How well values separate two groups: area under the ROC curve and average precision.

Both are computed from the weight of either group at each distinct value, in ascending order, so
that ties count as they should, an item may belong to both groups in part, and a bootstrap only
has to weigh the same table anew. Leading axes are resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.evaluation.bootstrap import sums_by

Floats = NDArray[np.float64]

MOST_RANKS = 2048
"""Ranks that are told apart within a bootstrap; the value itself is exact."""


def auroc(positive: Floats, negative: Floats) -> Floats:
    """Probability that a positive has the larger value, ties counting half.

    Parameters
    ----------
    positive, negative
        (..., ranks) weights at each distinct value, ascending.

    Returns
    -------
    Floats
        (...), NaN where a group is empty. (Mann and Whitney 1947, over the product of weights.)
    """
    below = np.cumsum(negative, axis=-1) - negative / 2
    pairs = positive.sum(-1) * negative.sum(-1)
    return _ratio((positive * below).sum(-1), pairs)


def average_precision(positive: Floats, negative: Floats) -> Floats:
    """Mean precision at each positive, largest value first; equal values enter together.

    Parameters and returns as for `auroc`. Values that know nothing give the share of positives.
    """
    found = np.cumsum(positive[..., ::-1], axis=-1)
    taken = found + np.cumsum(negative[..., ::-1], axis=-1)
    precision = _ratio(found, taken, empty=0.0)
    return _ratio((positive[..., ::-1] * precision).sum(-1), positive.sum(-1))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Weights of two groups by rank: exactly, and per block with few ranks.

    Attributes
    ----------
    positive, negative
        (ranks,) at each distinct value, ascending.
    positive_by_block, negative_by_block
        (blocks, at most `MOST_RANKS`).
    """

    positive: Floats
    negative: Floats
    positive_by_block: Floats
    negative_by_block: Floats


def ranked(
    values: NDArray[np.floating],
    positive: NDArray[np.floating],
    negative: NDArray[np.floating],
    block: NDArray[np.int64],
    blocks: int,
) -> Ranked:
    """Sort items once.

    Parameters
    ----------
    values, positive, negative
        (n,) value and weight in either group of every item.
    block, blocks
        (n,) the block that each lies in, and how many there are.
    """
    distinct, rank, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks = len(distinct)
    exact = [sums_by(rank, weight, ranks) for weight in (positive, negative)]
    # Neighbouring values share a rank until few are left, about as many items in each.
    share = (np.cumsum(count) - count) / max(1, len(values))
    coarse = np.arange(ranks) if ranks <= MOST_RANKS else (share * MOST_RANKS).astype(np.int64)
    few = min(ranks, MOST_RANKS)
    cell = block * few + coarse[rank]
    by_block = [
        sums_by(cell, weight, blocks * few).reshape(blocks, few) for weight in (positive, negative)
    ]
    return Ranked(exact[0], exact[1], by_block[0], by_block[1])


def _ratio(part: Floats, whole: Floats, empty: float = np.nan) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), empty), where=whole > 0))
