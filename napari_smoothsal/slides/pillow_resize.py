"""Resizing as Pillow does it: what networks are trained on whose patches torchvision resized.

Kept apart from `resample`, which computes exact means: a filter of Pillow's is wider than the
pixel it makes, and rounds as Pillow rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.slides.resample import SNAP, covering, reflected

MOST_PIXELS = 2**26
"""Of level 0 that one tile is made of: 0.2 GB, in each reading thread."""

FILTERS: dict[Resampling, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

Read = Callable[[int, int, int, int], NDArray[np.uint8]]
"""Pixels (h, w, 3) of whole x, y, w, h."""


def resized_box(
    read: Read,
    bounds: tuple[int, int, int, int],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    resampling: Resampling,
) -> NDArray[np.uint8]:
    """Cut a box out of a picture and resize it.

    Where the box has whole pixels it is, bit for bit, Pillow's ``crop`` and ``resize``: the
    filters end at the box. Else they end at the whole pixels around it.

    Parameters
    ----------
    read
        Reads the picture's pixels.
    bounds
        x, y, w, h of the picture, which is continued by reflection.
    box
        x, y, w, h.
    size
        (width, height) of the result.
    resampling
        One of Pillow's filters.

    Returns
    -------
    NDArray[np.uint8]
        (height, width, 3).

    Raises
    ------
    SlideError
        Where the box holds more pixels than `MOST_PIXELS`.
    """
    left, right = covering(box[0], box[2])
    top, bottom = covering(box[1], box[3])
    if (right - left) * (bottom - top) > MOST_PIXELS:
        raise SlideError(
            f"a tile of {size[0]} x {size[1]} px is made of {right - left} x {bottom - top} px of "
            f"level 0 by resampling {resampling!r}, more than {MOST_PIXELS} px; choose smaller "
            "tiles, or resampling 'area' in the model's card, which reads a coarser level"
        )
    x, y, w, h = bounds
    across = reflected(np.arange(left, right), x, x + w)
    down = reflected(np.arange(top, bottom), y, y + h)
    first_x, first_y = int(across.min()), int(down.min())
    source = read(first_x, first_y, int(across.max()) + 1 - first_x, int(down.max()) + 1 - first_y)
    if left < x or top < y or right > x + w or bottom > y + h:
        source = source[(down - first_y)[:, None], across - first_x]
    begin = (_snapped(box[0] - left), _snapped(box[1] - top))
    end = (_snapped(box[0] + box[2] - left), _snapped(box[1] + box[3] - top))
    # Rounding must not lead outside of what was read: Pillow refuses that.
    within = (*map(max, begin, (0, 0)), *map(min, end, source.shape[1::-1]))
    picture = Image.fromarray(np.ascontiguousarray(source))
    # Pillow's own pixels are read-only.
    return np.array(picture.resize(size, FILTERS[resampling], box=within))


def _snapped(value: float) -> float:
    return float(round(value)) if abs(value - round(value)) < SNAP else value
