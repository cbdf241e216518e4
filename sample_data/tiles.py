"""Labelled synthetic tiles of any seed, for training and for measuring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.sample_data.masks import numbered_nuclei
from napari_smoothsal.sample_data.rendering import Optics, render
from napari_smoothsal.sample_data.stain import random_stain
from napari_smoothsal.sample_data.tissue_model import tile_layout

MARGIN_UM = 8.0
NORMAL_KINDS = ("lymphoid", "stroma", "mixed", "adipose", "glass")
NORMAL_SHARES = (0.42, 0.26, 0.18, 0.08, 0.06)


def render_tile(seed: int, mpp: float, tumour: bool, size_px: int = 224) -> NDArray[np.uint8]:
    """One tile of its own little slide: layout, stain and optics are all drawn from ``seed``.

    Parameters
    ----------
    seed
        Any number from 0; the same arguments give the same bytes.
    mpp
        Micrometres per pixel.
    tumour
        Whether tumour covers the middle; if not, there is none in the tile.
    size_px
        Side.

    Returns
    -------
    numpy.ndarray
        uint8 (size_px, size_px, 3).
    """
    return render_tile_and_nuclei(seed, mpp, tumour, size_px)[0]


def render_tile_and_nuclei(
    seed: int, mpp: float, tumour: bool, size_px: int = 224
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The same, and (size_px, size_px) which nucleus each pixel is of; see `numbered_nuclei`."""
    rng = np.random.default_rng([seed, round(mpp * 1000), int(tumour)])
    kind = "tumour" if tumour else str(rng.choice(NORMAL_KINDS, p=NORMAL_SHARES))
    layout = tile_layout(rng, kind, size_px * mpp + 2 * MARGIN_UM)
    optics = Optics(
        unevenness=0.06,
        blur_um=rng.uniform(0.3, 1.1),
        sharpness_um=rng.uniform(0.12, 0.4),
        noise=rng.uniform(0.5, 3.0),
    )
    image, nuclei = render(
        layout,
        (seed, round(mpp * 1000), int(tumour), 1),
        mpp,
        random_stain(rng),
        optics,
        tumour_scale=rng.uniform(0.88, 1.15),
    )
    cut = int(MARGIN_UM / mpp)
    numbers = numbered_nuclei(nuclei, image.shape[:2], mpp)
    part = slice(cut, cut + size_px), slice(cut, cut + size_px)
    return np.ascontiguousarray(image[part]), np.ascontiguousarray(numbers[part])


def render_tiles(
    first_seed: int, count: int, mpp: float, size_px: int = 224
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` tiles (N, size_px, size_px, 3) and their labels (N,), 1 for tumour, alternating."""
    labels = np.arange(count) % 2
    tiles = [
        render_tile(first_seed + i, mpp, bool(label), size_px) for i, label in enumerate(labels)
    ]
    return np.stack(tiles), labels.astype(np.int64)
