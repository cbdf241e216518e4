"""Synthetic tiles of mixed tissue with the class of every pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.sample_data.masks import nuclei_mask
from napari_smoothsal.sample_data.rendering import Optics, render
from napari_smoothsal.sample_data.stain import random_stain
from napari_smoothsal.sample_data.tiles import MARGIN_UM
from napari_smoothsal.sample_data.tissue_model import STEP_UM, Layout, tile_layout

MPP = 0.5
SIDE = 256
KINDS = ("border", "tumour", "lymphoid", "stroma", "mixed", "adipose", "glass")
SHARES = (0.36, 0.16, 0.14, 0.14, 0.1, 0.06, 0.04)


def render_masked_tile(
    seed: int, size_px: int = SIDE
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One tile of its own little slide at 0.5 um per pixel, and its mask.

    Parameters
    ----------
    seed
        Any number from 0; decides tissue, stain and optics.
    size_px
        Side.

    Returns
    -------
    image : numpy.ndarray
        uint8 (size_px, size_px, 3).
    mask : numpy.ndarray
        uint8 (size_px, size_px), indices of ``masks.CLASS_NAMES``.
    """
    rng = np.random.default_rng([seed, 3])
    layout = _layout(rng, str(rng.choice(KINDS, p=SHARES)), size_px * MPP + 2 * MARGIN_UM)
    optics = Optics(
        unevenness=0.06,
        blur_um=rng.uniform(0.3, 1.1),
        sharpness_um=rng.uniform(0.12, 0.4),
        noise=rng.uniform(0.5, 3.0),
    )
    stain, scale = random_stain(rng), rng.uniform(0.88, 1.15)
    image, nuclei = render(layout, (seed, 4), MPP, stain, optics, scale)
    mask = nuclei_mask(nuclei, image.shape[:2], MPP)
    first = int(MARGIN_UM / MPP)
    cut = slice(first, first + size_px)
    return np.ascontiguousarray(image[cut, cut]), np.ascontiguousarray(mask[cut, cut])


def render_masked_tiles(
    first_seed: int, count: int, size_px: int = SIDE
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """``count`` tiles (N, size_px, size_px, 3) and their masks (N, size_px, size_px)."""
    tiles = [render_masked_tile(first_seed + i, size_px) for i in range(count)]
    return np.stack([image for image, _ in tiles]), np.stack([mask for _, mask in tiles])


def _layout(rng: np.random.Generator, kind: str, size_um: float) -> Layout:
    """Layout of one tile; ``"border"`` is a part of a tumour twice as wide as the tile."""
    if kind != "border":
        return tile_layout(rng, kind, size_um)
    wide = tile_layout(rng, "tumour", 2 * size_um)
    side = int(np.ceil(size_um / STEP_UM))
    # More often near a corner, where the tumour ends, than in its middle.
    top, left = (rng.beta(0.4, 0.4, 2) * (wide.regions.shape[0] - side)).astype(int)
    place = slice(top, top + side), slice(left, left + side)
    return Layout(wide.regions[place], wide.tumour_area[place])
