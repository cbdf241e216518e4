"""Slides that tests write: tiled TIFF files of 0.5 um per pixel."""

from pathlib import Path

import numpy as np
import tifffile


def written(path: Path, pixels: np.ndarray) -> Path:
    """A file of some pixels (h, w, 3)."""
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            pixels,
            tile=(64, 64),
            photometric="rgb",
            resolution=(2e4, 2e4),
            resolutionunit="CENTIMETER",
        )
    return path
