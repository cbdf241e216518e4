"""How large nuclei look at a stated resolution: what betrays a resolution that is wrong.

Made to follow the scale and nothing else: nothing in it knows how large a nucleus is, so that
nuclei that are twice as large are measured as twice as large. (`attribution.segments.nuclei` finds
outlines, by smoothing and areas in micrometres: of a resolution that is twice as coarse as it
should be it measures 1.3 times the diameter.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu

from napari_smoothsal.slides.stain import DECADIC

MEASURED_MPP = 0.5
"""Resolution that tiles are read at: where it is half or twice of that, nuclei have pixels, too."""

PLAUSIBLE_UM = (3.65, 6.7)
"""Diameters between which nothing is said. At their true resolution 4.1 to 5.4 um of real lymph
node and skin and 5.3 to 5.6 of the synthetic sample slide, 6.6 of one choice of places of nine;
2.1 to 3.3 where micrometres are stated half as large; 6.5 to 10.7, of part of one slide 4.9, where
they are stated twice as large."""

LEAST_PLACES = 6
LEAST_NUCLEI = 8
"""Of fewer places, with so many nuclei each, nothing is said: those of one tumour would be taken
for all."""

LEAST_COVERED = 0.055
"""Share of all places that nuclei cover: 0.06 to 0.3 of tissue, at half and at twice its
micrometres, too; up to 0.05 of white noise, whose blobs lie scattered."""

_SIGMAS_PX = np.geomspace(1.0, 12.0, 11)
_LEAST_RESPONSE = 0.05
_LEAST_HAEMATOXYLIN = 0.09
_MOST_HAEMATOXYLIN = 1.5
"""Decadic optical densities: of a blob above its surroundings, of its middle, of what is ink."""


class NuclearSize(NamedTuple):
    """What was found on some places.

    Attributes
    ----------
    diameter_um
        Median over places of the median over the area of nuclei: half of it belongs to larger
        ones. Of even discs it is their diameter; nuclei of coarse chromatin look smaller.
    places
        How many have nuclei, or blobs that look like them.
    """

    diameter_um: float
    places: int


def nuclear_size(tiles: Sequence[NDArray[np.uint8]], mpp: float) -> NuclearSize | None:
    """The size of nuclei on some places; None where there are too few to tell.

    Maxima of the normalised Laplacian in scale-space (Lindeberg 1998) of the haematoxylin's
    optical density, approximated by differences of Gaussians; of two that overlap the one that
    stands out more stays.

    Parameters
    ----------
    tiles
        (H, W, 3) uint8 each, of one slide.
    mpp
        Micrometres per pixel that they are said to have, about `MEASURED_MPP`.
    """
    densities = [
        np.clip(rgb2hed(tile)[..., 0] * DECADIC, 0, _MOST_HAEMATOXYLIN).astype(np.float32)
        for tile in tiles
    ]
    if len(densities) < LEAST_PLACES:
        return None
    smooth = np.concatenate([ndimage.gaussian_filter(one, 1.0).ravel() for one in densities])
    if float(np.ptp(smooth)) < _LEAST_RESPONSE:
        return None
    otsu = float(threshold_otsu(smooth))  # type: ignore[no-untyped-call]
    found = [_blobs(one, max(otsu, _LEAST_HAEMATOXYLIN)) for one in densities]
    known = [(d, r) for d, r in found if len(d) >= LEAST_NUCLEI]
    covered = sum(np.pi / 4 * float((d**2).sum()) for d, _ in known)
    # Of all places together: chosen one by one, those of large nuclei would be preferred.
    if len(known) < LEAST_PLACES or covered < LEAST_COVERED * smooth.size:
        return None
    return NuclearSize(float(np.median([_typical(*blobs) for blobs in known])) * mpp, len(known))


def _typical(diameters: NDArray[np.float64], response: NDArray[np.float64]) -> float:
    """The median diameter of one place, in px: by area, and by how much each stands out."""
    order = np.argsort(diameters)
    shares = np.cumsum((response * diameters**2)[order])
    return float(diameters[order][np.searchsorted(shares, shares[-1] / 2)])


def _greatest_around(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maximum over each value and its 26 neighbours, in a fourth of the time of SciPy's filter."""
    greatest = stack
    for axis in range(stack.ndim):
        along = np.moveaxis(greatest, axis, 0)
        greatest = along.copy()
        np.maximum(greatest[1:], along[:-1], out=greatest[1:])
        np.maximum(greatest[:-1], along[1:], out=greatest[:-1])
        greatest = np.moveaxis(greatest, 0, axis)
    return greatest


def _blobs(
    density: NDArray[np.float32], least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Diameters in px, and how much each stands out."""
    step = _SIGMAS_PX[1] / _SIGMAS_PX[0]
    sigmas = [*_SIGMAS_PX, _SIGMAS_PX[-1] * step]
    levels = [ndimage.gaussian_filter(density, sigma, truncate=3) for sigma in sigmas]
    stack = np.stack([(a - b) / (step - 1) for a, b in pairwise(levels)])
    peaks = (stack == _greatest_around(stack)) & (stack > _LEAST_RESPONSE)
    peaks &= levels[0] > least
    peaks[0] = peaks[-1] = False  # whose true scale may lie outside
    scale, y, x = np.nonzero(peaks)
    below, here, above = (stack[scale + i, y, x].astype(float) for i in (-1, 0, 1))
    # The vertex of the parabola through three scales.
    bend = np.minimum(below - 2 * here + above, -1e-9)
    # A difference of Gaussians of s and k s is the Laplacian at a scale between the two.
    between = step * np.sqrt(2 * np.log(step) / (step**2 - 1))
    sigma = between * _SIGMAS_PX[scale] * step ** np.clip((below - above) / (2 * bend), -0.5, 0.5)
    radius = np.sqrt(2) * sigma
    kept: list[int] = []
    for i in np.argsort(-here * np.sqrt(sigma), kind="stable"):
        distance = (y[kept] - y[i]) ** 2 + (x[kept] - x[i]) ** 2
        if not (distance < np.maximum(radius[kept], radius[i]) ** 2).any():
            kept.append(int(i))
    return 2 * radius[kept], here[kept]
