"""How alike two maps are: ranks with and without sign, structure, and directions of edges.

The four measures of Adebayo et al., Sanity Checks for Saliency Maps (NeurIPS 2018, section 3.3).
Ranks are taken of a map's own pixels. SSIM and HOG look at its picture: the magnitudes, from the
least to the 99th percentile, on a scale from 0 to 1, as the published code draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from napari_smoothsal.core.errors import SettingError

BRIGHTEST = 99.0
"""Percentile of the magnitudes that a picture shows as 1; a few pixels may tower over the rest."""

SSIM_SIGMA = 1.5
_SSIM_REACH = 3.5  # of skimage's window, in sigmas
_SSIM_REACH_PX = 5
_SMALLEST_PX = 3

CELLS = 14
"""Cells of a HOG along the shorter side, those of the published 16 px in a tile of 224."""
_CELL_PX = (2, 16)
_BLOCK_CELLS = 3


_Array = NDArray[np.float64]


class Similarity(NamedTuple):
    """1 of equal maps; about 0 of maps that have nothing to do with each other.

    NaN where a map is constant, or not finite, or too small: SSIM needs 3 px, HOG 6.

    Attributes
    ----------
    spearman
        Rank correlation.
    spearman_absolute
        Of magnitudes: a map and its negative are equal.
    ssim
        Structural similarity of pictures, in Gaussian windows of sigma 1.5 px; narrower in maps
        below 11 px, whose window has their size.
    hog
        Rank correlation of histograms of oriented gradients of pictures. A cell has 1/14 of the
        shorter side, from 2 to 16 px, so that layers of one tile are looked at on the same scale.
    """

    spearman: float
    spearman_absolute: float
    ssim: float
    hog: float


UNKNOWN = Similarity(np.nan, np.nan, np.nan, np.nan)


class Looks:
    """What is compared of one map, computed once for many comparisons.

    Parameters
    ----------
    values
        (h, w); kept as they are.
    """

    def __init__(self, values: NDArray[np.floating]) -> None:
        self.values = values
        signed: _Array = values.astype(np.float64)
        self.shape = signed.shape
        magnitudes = np.abs(signed)
        varies = bool(np.isfinite(signed).all()) and np.ptp(signed) > 0
        self.ranks = _centred_ranks(signed) if varies else None
        self.ranks_of_magnitudes = _centred_ranks(magnitudes) if varies else None
        self.picture = _picture(magnitudes) if varies else None
        self.edges = None if self.picture is None else _edges(self.picture)


def similarity(
    one: Looks | NDArray[np.floating], other: Looks | NDArray[np.floating]
) -> Similarity:
    """Compare two maps (h, w) of one size."""
    a, b = (x if isinstance(x, Looks) else Looks(x) for x in (one, other))
    if a.shape != b.shape:
        raise SettingError(f"maps of {a.shape} and {b.shape} px cannot be compared pixel by pixel")
    return Similarity(
        _both(a.ranks, b.ranks, _correlation),
        _both(a.ranks_of_magnitudes, b.ranks_of_magnitudes, _correlation),
        _both(a.picture, b.picture, _ssim),
        _both(a.edges, b.edges, _correlation),
    )


def _both(a: _Array | None, b: _Array | None, compare: Callable[[_Array, _Array], float]) -> float:
    return np.nan if a is None or b is None else compare(a, b)


def _centred_ranks(values: _Array) -> _Array | None:
    """Of unit length; None where all are equal."""
    ranks = rankdata(values.ravel())
    ranks -= ranks.mean()
    length = float(np.linalg.norm(ranks))
    return None if length == 0 else np.asarray(ranks / length)


def _correlation(a: _Array, b: _Array) -> float:
    return float(a @ b)


def _picture(magnitudes: _Array) -> _Array | None:
    low, high = magnitudes.min(), np.percentile(magnitudes, BRIGHTEST)
    if high <= low:
        return None
    return np.asarray(np.clip((magnitudes - low) / (high - low), 0, 1))


def _ssim(a: _Array, b: _Array) -> float:
    if min(a.shape) < _SMALLEST_PX:
        return np.nan
    fitting = (min(a.shape) - 1) // 2
    sigma = SSIM_SIGMA if fitting >= _SSIM_REACH_PX else fitting / _SSIM_REACH
    window = {"gaussian_weights": True, "sigma": sigma}
    found = structural_similarity(a, b, data_range=1.0, **window)  # type: ignore[no-untyped-call]
    return float(found)


def _edges(picture: _Array) -> _Array | None:
    """Ranks of the histograms of oriented gradients; None of too small a map."""
    smallest, largest = _CELL_PX
    cell = min(max(min(picture.shape) // CELLS, smallest), largest)
    if min(picture.shape) < _BLOCK_CELLS * cell:
        return None
    return _centred_ranks(np.asarray(hog(picture, pixels_per_cell=(cell, cell)), np.float64))
