"""Resampling arithmetic: which level to read, which pixels of it, and their exact area mean.

Pure functions on numbers and arrays, shared by every kind of slide. Continuous coordinates
put pixel ``i`` on the interval ``[i, i + 1)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL_TOLERANCE = 0.01
"""A level may be this much coarser than asked for: 2.0x serves 1.99x as well as 2.0005x."""

SNAP = 1e-6
"""Pixels. Offsets this near to a pixel edge are the edge: they are rounding, not shift."""


@dataclass(frozen=True)
class Taps:
    """For each output pixel along one axis, which source pixels it averages, and how.

    Attributes
    ----------
    index
        (n, k) source pixels, possibly below 0 or past the end.
    weight
        (n, k) float32, each row summing to 1.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32]

    @property
    def start(self) -> int:
        """First source pixel that is needed."""
        return int(self.index.min())

    @property
    def stop(self) -> int:
        """One past the last source pixel that is needed."""
        return int(self.index.max()) + 1


def choose_level(downsamples: Sequence[float], needed: float) -> int:
    """Return the coarsest level that is still at least as fine as needed.

    Parameters
    ----------
    downsamples
        Level-0 px per pixel of each level, in any order.
    needed
        Level-0 px per output pixel; the smaller one where the axes differ.

    Returns
    -------
    int
        An index into `downsamples`; the finest level where none is fine enough.
    """
    fine_enough = [i for i, d in enumerate(downsamples) if d <= needed * (1 + LEVEL_TOLERANCE)]
    if not fine_enough:
        return min(range(len(downsamples)), key=lambda i: downsamples[i])
    return max(fine_enough, key=lambda i: downsamples[i])


def level_scale(full: tuple[int, int], level: tuple[int, int]) -> tuple[float, float]:
    """Return the level-0 px per level pixel that the level was made with.

    A level's size is a whole number, so the ratio of sizes (what OpenSlide reports, averaged
    over both axes) is off by the remainder that was dropped: 1001 px halved give 500, a ratio
    of 2.002, and at the far edge the picture is a pixel away from where the ratio puts it.
    Where one whole factor explains both axes it is taken; else each axis keeps its ratio.

    Parameters
    ----------
    full, level
        (width, height) of level 0 and of the level.

    Returns
    -------
    tuple of float
        (x, y) scale.
    """
    ratios = [f / v for f, v in zip(full, level, strict=True)]
    factor = round(sum(ratios) / 2)
    sizes = list(zip(full, level, strict=True))
    if factor >= 1 and all(v in (f // factor, -(-f // factor)) for f, v in sizes):
        return float(factor), float(factor)
    return ratios[0], ratios[1]


def covering(start: float, length: float) -> tuple[int, int]:
    """Return the smallest whole-pixel interval ``(first, end)`` that covers a float one."""
    first = math.floor(start + SNAP)
    return first, max(first + 1, math.ceil(start + length - SNAP))


def area_taps(n: int, start: float, step: float) -> Taps:
    """Return the weights that average `n` adjoining intervals of `step` pixels exactly.

    Where pixels are made smaller each output pixel is the mean over its own interval, a
    source pixel that is half inside counting half. (PIL's BOX filter does not do this: it
    rounds the interval to whole pixels.) Where they are made larger the interval averaged is
    one source pixel wide and centred likewise, which is linear interpolation; both meet at
    ``step == 1``.

    Parameters
    ----------
    n
        Output pixels.
    start
        Where the first interval begins, in source px.
    step
        Length of each interval, in source px.

    Returns
    -------
    Taps
        With a single tap of weight 1 where the pixels coincide.
    """
    start, step = _snapped(start), _snapped(step)
    width = max(step, 1.0)
    middle = start + (np.arange(n) + 0.5) * step
    low = middle - width / 2
    high = middle + width / 2
    first = np.floor(low + SNAP).astype(np.int64)
    end = np.ceil(high - SNAP).astype(np.int64)
    index = first[:, None] + np.arange(int((end - first).max()))
    inside = np.minimum(high[:, None], index + 1) - np.maximum(low[:, None], index)
    weight = np.clip(inside, 0.0, None)
    # Taps past the interval weigh nothing; they must not make anyone read further.
    index = np.minimum(index, end[:, None] - 1)
    weight /= weight.sum(axis=1, keepdims=True)
    return Taps(index=index, weight=weight.astype(np.float32))


def _snapped(value: float) -> float:
    return float(round(value)) if abs(value - round(value)) < SNAP else value


def reflected(index: NDArray[np.int64], start: int, stop: int) -> NDArray[np.int64]:
    """Fold pixels outside ``[start, stop)`` back inside, as ``numpy.pad(mode="reflect")``.

    The edge pixel is not repeated; an overhang longer than the interval is folded repeatedly.
    """
    last = stop - start - 1
    if last <= 0:
        return np.full_like(index, start)
    folded = np.abs(index - start) % (2 * last)
    return np.asarray(start + np.minimum(folded, 2 * last - folded))


def resample(source: NDArray[np.uint8], rows: Taps, columns: Taps) -> NDArray[np.uint8]:
    """Average `source` with separable weights.

    Parameters
    ----------
    source
        (H, W, channels) uint8.
    rows, columns
        Taps whose indices lie inside `source`.

    Returns
    -------
    NDArray[np.uint8]
        (h, w, channels), rounded to nearest; the very pixels of `source` where each output
        pixel is one source pixel.
    """
    if rows.weight.shape[1] == 1 and columns.weight.shape[1] == 1:
        picked = source[_evenly(rows.index[:, 0])][:, _evenly(columns.index[:, 0])]
        return np.ascontiguousarray(picked)
    # Rows first: whole rows are contiguous, so most of the work is done at full speed.
    tall = _averaged(source, rows, axis=0)
    both = _averaged(tall, columns, axis=1)
    both += np.float32(0.5)
    return np.clip(both, 0, 255, out=both).astype(np.uint8)


def _evenly(index: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """The same pixels as a slice, where they lie evenly: nothing is copied then."""
    step = int(index[1] - index[0]) if len(index) > 1 else 1
    if step < 1 or (np.diff(index) != step).any():
        return index
    return slice(int(index[0]), int(index[-1]) + 1, step)


def _averaged(
    source: NDArray[np.uint8] | NDArray[np.float32], taps: Taps, axis: int
) -> NDArray[np.float32]:
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total: NDArray[np.float32] | None = None
    for tap in range(taps.weight.shape[1]):
        index = _evenly(taps.index[:, tap])
        picked = source[index] if axis == 0 else source[:, index]
        part = np.multiply(picked, taps.weight[:, tap].reshape(shape), dtype=np.float32)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None  # there is at least one tap
    return total
