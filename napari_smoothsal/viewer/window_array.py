"""WindowArray: a window's pixels in the coordinates of the whole layer they were cut from.

So the engine explains a napari layer's window on the same tile grid as the whole layer, and the
map's placement needs no offset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.asked import SlidePixels


class WindowArray:
    """An (H, W, 3) array-like of which only a window exists; white elsewhere.

    Parameters
    ----------
    pixels
        (h, w, 3 or 4) of the window.
    corner
        (y, x) of its first pixel.
    size
        (H, W).
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, pixels: NDArray[np.uint8], corner: tuple[int, int], size: tuple[int, int]
    ) -> None:
        self._pixels = pixels
        self._corner = corner
        self.shape = (*size, pixels.shape[2])

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        y0, y1, _ = rows.indices(self.shape[0])
        x0, x1, _ = columns.indices(self.shape[1])
        result = np.full((max(0, y1 - y0), max(0, x1 - x0), self.shape[2]), 255, np.uint8)
        top, left = self._corner
        h, w = self._pixels.shape[:2]
        a, b = max(y0, top), min(y1, top + h)
        c, d = max(x0, left), min(x1, left + w)
        if a < b and c < d:
            result[a - y0 : b - y0, c - x0 : d - x0] = self._pixels[
                a - top : b - top, c - left : d - left
            ]
        return result


def slide_of_pixels(sent: SlidePixels) -> ArraySlide:
    """The slide that napari's process sent."""
    x, y, w, h = sent.window
    pixels = np.load(Path(sent.path), mmap_mode="r", allow_pickle=False)
    levels: list[Any] = [WindowArray(pixels, (y, x), sent.size)]
    if sent.coarse is not None:
        levels.append(np.load(Path(sent.coarse), allow_pickle=False))
    # Reflection at the window's rim, not at the white that stands for what was not sent.
    return ArraySlide(levels, sent.mpp, "layer", bounds=(x, y, w, h))
