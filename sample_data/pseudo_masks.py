"""Guessed masks of real patches, whose nuclei nobody has outlined.

Where much haematoxylin is, there is a nucleus; what class it has follows from the patch's label.
Both are rough: pale nuclei break up, and tumour patches hold lymphocytes too. What is doubtful
is left out (``IGNORED``), and nothing measured against these masks is an accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu
from skimage.measure import regionprops
from skimage.morphology import disk

from napari_smoothsal.evaluation.overlap import IGNORED
from napari_smoothsal.sample_data.masks import BACKGROUND, NORMAL, TUMOUR
from napari_smoothsal.sample_data.patches import Patch, at_half_resolution

_SMOOTHING_PX = 2.0
_DOUBTFUL = 0.25
"""Share of the way from the threshold to the mean of either side that counts as doubtful."""
_LEAST_PX, _TUMOUR_PX = 40, (180, 1000)
"""Areas of nuclei at 0.5 um per pixel; a circle of 180 px is 7.6 um across, of 1000 px 18 um."""
_TUMOUR_SOLIDITY = 0.8
"""Least share of its convex hull that a tumour nucleus fills; clusters of cells fill less."""
_GAP_PX, _BRIDGE_PX = 2, 4
"""Radii: of gaps in the rim of a pale tumour nucleus, of bridges between two nuclei."""


def pseudo_masked(patch: Patch) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A patch reduced to 0.5 um per pixel, and its pseudo-mask.

    Returns
    -------
    image : numpy.ndarray
        uint8 (256, 256, 3); the rim of 64 px is filled with the mirror image.
    mask : numpy.ndarray
        uint8 (256, 256), indices of ``masks.CLASS_NAMES`` or ``IGNORED``; mirrored likewise.
    """
    dye = ndimage.gaussian_filter(rgb2hed(patch.image)[..., 0], _SMOOTHING_PX)
    half = dye.shape[0] // 2
    dye = dye.reshape(half, 2, half, 2).mean(axis=(1, 3))
    mask = _mask(dye, tumour=patch.label == 1)
    return at_half_resolution(patch.image), np.pad(mask, half // 2, "symmetric")


def pseudo_masked_patches(
    patches: list[Patch],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 256, 256, 3) and pseudo-masks (N, 256, 256) of patches; see `pseudo_masked`."""
    pairs = [pseudo_masked(patch) for patch in patches]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def inner(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images or masks (N, 256, 256, ...) without the mirrored rim, (N, 128, 128, ...)."""
    rim = tiles.shape[1] // 4
    return tiles[:, rim:-rim, rim:-rim]


def _mask(dye: NDArray[np.float64], *, tumour: bool) -> NDArray[np.uint8]:
    """Pseudo-mask of an amount of haematoxylin (h, w), by Otsu's threshold."""
    threshold = float(threshold_otsu(dye))  # type: ignore[no-untyped-call]
    dark = dye > threshold
    lower = threshold - _DOUBTFUL * (threshold - dye[~dark].mean())
    upper = threshold + _DOUBTFUL * (dye[dark].mean() - threshold)
    mask = np.full(dye.shape, IGNORED, np.uint8)
    if tumour:
        # Vesicular nuclei are pale inside, where they must not be taken for background.
        whole = ndimage.binary_fill_holes(ndimage.binary_closing(dark, _disk(_GAP_PX)))
        mask[(dye < lower) & ~whole] = BACKGROUND
        mask[_parts(ndimage.binary_opening(whole, _disk(_BRIDGE_PX)), _like_tumour)] = TUMOUR
    else:
        whole = ndimage.binary_opening(dark)
        mask[(dye < lower) & ~whole] = BACKGROUND
        mask[_parts(whole, _large) & (dye > upper)] = NORMAL
    return mask


def _parts(inside: NDArray[np.bool_], wanted: Callable[[Any], bool]) -> NDArray[np.bool_]:
    """Those connected parts of a mask whose properties are wanted."""
    labels, count = ndimage.label(inside)
    chosen = np.zeros(count + 1, np.bool_)
    for part in regionprops(labels):  # type: ignore[no-untyped-call]
        chosen[part.label] = wanted(part)
    return np.asarray(chosen[labels])


def _disk(radius: int) -> NDArray[np.bool_]:
    return np.asarray(disk(radius), np.bool_)  # type: ignore[no-untyped-call]


def _large(part: Any) -> bool:
    return bool(part.area >= _LEAST_PX)


def _like_tumour(part: Any) -> bool:
    least, most = _TUMOUR_PX
    return bool(least <= part.area <= most and part.solidity >= _TUMOUR_SOLIDITY)
