"""Painted slides for the viewer's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tissue(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pink noise that every tissue mask takes for tissue, with darker spots."""
    rng = np.random.default_rng(seed)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = (220, 150, 200)
    picture[rng.random((height, width)) < 0.05] = (90, 50, 140)
    return picture


def pyramid(picture: NDArray[np.uint8], levels: int) -> list[NDArray[np.uint8]]:
    """Levels that halve by 2x2 means."""
    result = [picture]
    for _ in range(levels - 1):
        h, w = result[-1].shape[0] // 2, result[-1].shape[1] // 2
        blocks = result[-1][: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3)
        result.append(np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8))
    return result


def write_tiff(path: Path, picture: NDArray[np.uint8], levels: int = 2, mpp: float = 0.5) -> Path:
    """Write a slide with a resolution."""
    import tifffile

    options: dict[str, Any] = {
        "tile": (256, 256),
        "photometric": "rgb",
        "resolution": (1e4 / mpp, 1e4 / mpp),
        "resolutionunit": "CENTIMETER",
    }
    with tifffile.TiffWriter(path) as file:
        for index, level in enumerate(pyramid(picture, levels)):
            reduced = {"subfiletype": 1} if index else {}
            file.write(level, metadata=None, **options, **reduced)
    return path
