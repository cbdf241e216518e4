"""Pictures that the tests of slides are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile


def halved(image: np.ndarray) -> np.ndarray:
    """The next level of a pyramid: 2x2 means, a last odd row or column dropped."""
    h, w = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def write_tiff(
    path: Path,
    levels: list[np.ndarray],
    mpp: tuple[float, float] | None = (0.5, 0.5),
    tile: int = 64,
) -> Path:
    """Write a tiled pyramidal TIFF, uncompressed; `mpp` is (y, x)."""
    with tifffile.TiffWriter(path) as tiff:
        for i, level in enumerate(levels):
            tiff.write(
                level,
                tile=(tile, tile),
                photometric="rgb",
                subfiletype=1 if i else 0,
                resolution=None if mpp is None else (1e4 / mpp[1], 1e4 / mpp[0]),
                resolutionunit=None if mpp is None else "CENTIMETER",
            )
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
