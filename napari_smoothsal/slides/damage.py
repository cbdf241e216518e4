"""Pictures of damaged slides: what can be read of them, and where nothing can."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import TileReadError

DAMAGE_PX = 16
"""How closely a picture outlines what cannot be read, in its own px."""


def read_around_damage(
    read: Callable[[int, int, int, int], NDArray[np.uint8]],
    shape: tuple[int, int],
    background: tuple[int, int, int],
    outline: int = DAMAGE_PX,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a picture whole, or in halves of halves where the file is damaged.

    Parameters
    ----------
    read
        Of (x, y, w, h) px of the picture its pixels (h, w, 3); raises `TileReadError` where the
        file cannot be decoded.
    shape
        (h, w) of the picture.
    background
        (r, g, b) of what cannot be read.
    outline
        How closely that is outlined, in px of the picture.

    Returns
    -------
    picture
        (h, w, 3).
    damaged
        (h, w): pixels that could not be read, to within ``outline``.
    """
    height, width = shape
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = background
    damaged = np.zeros((height, width), np.bool_)
    parts = [(0, 0, width, height)]
    while parts:
        x, y, w, h = parts.pop()
        part = np.s_[y : y + h, x : x + w]
        try:
            picture[part] = read(x, y, w, h)
        except TileReadError:
            if max(w, h) <= outline:
                damaged[part] = True
            elif w >= h:
                parts += [(x, y, w // 2, h), (x + w // 2, y, w - w // 2, h)]
            else:
                parts += [(x, y, w, h // 2), (x, y + h // 2, w, h - h // 2)]
    return picture, damaged
