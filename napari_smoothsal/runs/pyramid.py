"""Coarser levels of a signed map: the mean, and beside it the value of largest magnitude."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def level_count(shape: Sequence[int], coarsest_px: int, band: int) -> int:
    """Levels, each half the one before, until none is larger than ``coarsest_px``.

    At most as many as a band of rows can be halved: coarser levels are made band by band.
    """
    wanted = 1 + max(0, math.ceil(math.log2(max(shape) / coarsest_px)))
    return min(wanted, band.bit_length())


def halved_mean(values: Array) -> Array:
    """Mean of each 2x2 block (..., 2h, 2w) -> (..., h, w), over what is not NaN; else NaN.

    Means of a signed map cancel: a level of means says where support outweighs its opposite.
    """
    blocks = _blocks(values)
    known = ~np.isnan(blocks)
    count = known.sum(0)
    total = np.where(known, blocks, 0).sum(0, dtype=np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def halved_extreme(values: Array) -> Array:
    """The value of largest magnitude of each 2x2 block, with its sign; NaN where all are NaN.

    A level of extremes keeps single strong pixels visible when the map is zoomed out.
    """
    blocks = _blocks(values)
    magnitude = np.where(np.isnan(blocks), -1, np.abs(blocks))
    best = magnitude.argmax(0)[None]
    return np.asarray(np.take_along_axis(blocks, best, 0)[0], dtype=np.float32)


def _blocks(values: Array) -> Array:
    """(4, ..., h, w): the four values of each block first."""
    *lead, height, width = values.shape
    h, w = height // 2, width // 2
    blocks = values.reshape(*lead, h, 2, w, 2)
    return np.moveaxis(blocks, (-3, -1), (0, 1)).reshape(4, *lead, h, w)
