"""Tissue by its colour: what is stained, on a thumbnail, without ink, black borders and dust.

Glass has next to no saturation once its own tint is divided out; stained tissue has. The
threshold between them is Otsu's, held within a range in which both kinds of slide that Otsu
gets wrong, all glass and all tissue, come out right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.filters import threshold_otsu

THRESHOLD_RANGE = (0.06, 0.10)
"""Saturation. Glass with JPEG noise stays below the first, pale eosin above the second."""

MIN_OBJECT_UM2 = 20_000.0
"""Smaller pieces and holes (140 um square: a few hundred cells) are debris and lumina."""

MIN_OBJECT_PX = 64
"""The same where the resolution is unknown, in mask px."""

_ROWS = 256
"""Whose colours are taken apart at once: that takes ten times their memory."""

_GLASS_PX = 1_000_000
"""Pixels that glass is looked for among."""

DARK = 0.25
"""Value below which something grey is black: a border, a ring, ink."""


def stained(rgb: NDArray[np.uint8], um_px: float | None) -> NDArray[np.bool_]:
    """Return where a thumbnail shows stained tissue.

    Parameters
    ----------
    rgb
        (h, w, 3) thumbnail.
    um_px
        Micrometres per thumbnail px; None where not known.

    Returns
    -------
    NDArray[np.bool_]
        (h, w).
    """
    smooth = _smoothed(rgb)
    saturation, pen = _colours(smooth, _glass(smooth))
    foreign = _grown(pen) | _grown(_black(smooth))
    saturation[foreign] = 0
    tissue = saturation > _threshold(saturation[~foreign])
    smallest = MIN_OBJECT_PX if um_px is None else MIN_OBJECT_UM2 / um_px**2
    # On a slide that is itself tiny nothing would be left: never more than 1 % of it.
    smallest = min(smallest, tissue.size / 100)
    tissue = _without_small(tissue, smallest)
    return ~_without_small(~tissue, smallest) & ~foreign


def _smoothed(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, 3), 0..1; channel by channel, so that no second copy of all is made."""
    smooth = np.empty(rgb.shape, np.float32)
    for channel in range(3):
        plane = rgb[..., channel].astype(np.float32) / 255
        ndimage.gaussian_filter(plane, sigma=1, output=smooth[..., channel])
    return smooth


def _colours(
    smooth: NDArray[np.float32], glass: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(h, w) saturation, and where there is the colour of a pen; a few rows at a time."""
    saturation = np.empty(smooth.shape[:2], np.float32)
    pen = np.empty(smooth.shape[:2], np.bool_)
    for start in range(0, len(smooth), _ROWS):
        rows = slice(start, start + _ROWS)
        hsv = rgb2hsv(np.clip(smooth[rows] / glass, 0, 1))
        saturation[rows] = hsv[..., 1]
        pen[rows] = _ink(hsv)
    return saturation, pen


def _threshold(saturation: NDArray[np.float32]) -> float:
    low, high = THRESHOLD_RANGE
    if saturation.size == 0 or float(np.ptp(saturation)) < 1e-6:
        return low
    # Where (next to) nothing looks like glass, Otsu would part one kind of tissue from another.
    if (saturation < low).mean() < 0.01:
        return low
    otsu = threshold_otsu(saturation)  # type: ignore[no-untyped-call]
    return float(np.clip(otsu, low, high))


def _glass(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the colour of empty glass, white where there is none to measure."""
    step = max(1, int(np.sqrt(smooth.shape[0] * smooth.shape[1] / _GLASS_PX)))
    smooth = smooth[::step, ::step]
    value = smooth.max(axis=2)
    grey = (value - smooth.min(axis=2)) < 0.08 * value
    bright = grey & (value > 0.8)
    if bright.mean() < 0.005:
        return np.ones(3, np.float32)
    return np.asarray(np.median(smooth[bright], axis=0), dtype=np.float32)


def _ink(hsv: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return pen marks: blue and green of a purity that no haematoxylin or eosin has."""
    hue, saturation = hsv[..., 0] * 360, hsv[..., 1]
    blue = (hue > 185) & (hue < 240) & (saturation > 0.45)
    green = (hue > 75) & (hue <= 185) & (saturation > 0.25)
    return np.asarray(blue | green)


def _black(smooth: NDArray[np.float32]) -> NDArray[np.bool_]:
    value = smooth.max(axis=2)
    grey = (value - smooth.min(axis=2)) < 0.12
    return np.asarray((value < DARK) & grey)


def _grown(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop single pixels, then take in the blurred rim of what is left."""
    kept = ndimage.binary_opening(marked, np.ones((3, 3)))
    return np.asarray(ndimage.binary_dilation(kept, np.ones((3, 3)), iterations=2))


def _without_small(mask: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    large = sizes >= smallest
    large[0] = False
    return np.asarray(large[labels])
