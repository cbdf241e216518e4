"""Unit: part of a stage that owns whole rows of chunks of each image, so that no other writes them.

A stage is one unit, or is cut into several that know nothing of each other. Tiles above a cut
reach into the bands below it; those batches are computed by both neighbours, whole and as they
were cut for the stage, so that on a CPU every band has the same bits however many units there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs import layout
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.stitch import touched

MOST_TWICE = 0.25
"""Share of a unit's batches that its neighbour may compute as well; a cut that costs more is not
made."""

UNITS_PER_WORKER = 4
"""At most, so that the last ones end at about the same time though their paces differ."""

SHORTER_COSTS = 1.05
"""So much later may all of it end for the sake of shorter units: a worker that dies loses one."""

_AROUND = 0.25
"""So much of a unit's length to either side of equal parts, a place for a cut is looked for."""


@dataclass(frozen=True)
class Unit:
    """Part of a stage.

    Attributes
    ----------
    batches
        Tiles (numbers in the stage) that are computed together, in order.
    bands
        For each image of the stage (bands,) bool: those that it writes.
    own
        (n,) bool of the stage's tiles: those that no other unit answers for.
    """

    batches: Sequence[NDArray[np.int64]]
    bands: Mapping[int, NDArray[np.bool_]]
    own: NDArray[np.bool_]

    def __len__(self) -> int:
        """Tiles that it computes, some of which others compute as well."""
        return sum(len(batch) for batch in self.batches)

    @property
    def owned(self) -> int:
        """Tiles among these that no other unit answers for."""
        return sum(int(self.own[batch].sum()) for batch in self.batches)

    def owns(self, image: int, band: int, level: int) -> bool:
        """Whether nobody else writes into the chunks of a band's share of a coarser level."""
        bands, side = self.bands[image], 1 << level
        first = band // side * side
        return bool(bands[first : first + side].all())


def units_of(
    stage: Stage,
    status: NDArray[np.uint8],
    open_bands: Mapping[int, NDArray[np.bool_]],
    batch_size: int,
    workers: int = 1,
) -> list[Unit]:
    """Cut what a stage still lacks into units that so many workers end soonest.

    Parameters
    ----------
    stage
        Tiles row by row.
    status
        (N,) of all tiles of the run.
    open_bands
        For each image of the stage (bands,) those that are not written yet.
    batch_size
        Tiles per batch, as when the run was begun.
    workers
        Each of which takes a unit after the other. There is one unit where bands are high or
        batches few, and none where nothing is lacking.
    """
    batches = stage.batches(batch_size)
    lacking = _of_any(batches, ~stage.finished(status))
    todo = lacking | _touching(stage, batches, open_bands)
    cuts = [0, *_cuts(stage, batches, open_bands, np.flatnonzero(todo), workers), len(batches)]
    units = []
    for start, end in pairwise(cuts):
        bands = {
            n: is_open & _rows_between(stage, n, batches, start, end, len(is_open))
            for n, is_open in open_bands.items()
        }
        within = np.zeros(len(batches), np.bool_)
        within[start:end] = True
        wanted = (lacking & within) | _touching(stage, batches, bands)
        own = np.zeros(len(stage), np.bool_)
        own[start * batch_size : end * batch_size] = True
        # Bands that no tile reaches are to be marked, too.
        if wanted.any() or any(one.any() for one in bands.values()):
            units.append(Unit([batches[i] for i in np.flatnonzero(wanted)], bands, own))
    return units


def cut_out(stage: Stage, unit: Unit) -> tuple[Stage, Unit]:
    """A unit, and of its stage what it needs: what is sent to where it is computed."""
    kept = np.unique(np.concatenate([*unit.batches, np.empty(0, np.int64)]))
    keep = np.zeros(len(stage), np.bool_)
    keep[kept] = True
    part = replace(stage, grid=stage.grid.selected(keep), tiles=stage.tiles[keep])
    batches = [np.searchsorted(kept, batch) for batch in unit.batches]
    return part, Unit(batches, unit.bands, unit.own[keep])


def whole_of(stage: Stage, batch_size: int) -> Unit:
    """All of a stage of which nothing is written yet."""
    bands = {n: np.ones(image.bands, np.bool_) for n, image in stage.images.items()}
    return Unit(stage.batches(batch_size), bands, np.ones(len(stage), np.bool_))


def _cuts(
    stage: Stage,
    batches: Sequence[NDArray[np.int64]],
    open_bands: Mapping[int, NDArray[np.bool_]],
    todo: NDArray[np.int64],
    workers: int,
) -> list[int]:
    """Batches before which a stage is cut, so that all of it ends as soon as it can.

    Of many parts each is short, and cuts into such cost too much: fewer parts are tried as well.
    """
    if workers < 2 or len(todo) < 2:
        return []
    twice = _twice(stage, batches, open_bands)
    ways: list[tuple[int, list[int]]] = []
    for parts in _numbers_of_parts(workers):
        cuts = _equal_cuts(todo, twice, min(parts, len(todo)))
        lengths = np.diff([0, *np.searchsorted(todo, cuts), len(todo)])
        lengths[1:] += twice[cuts]
        ways.append((_end(lengths, workers), cuts))
    most = min(SHORTER_COSTS * min(end for end, _ in ways), len(todo) - 1)
    # Of those that end about as soon the most parts, which come first.
    return next((cuts for end, cuts in ways if end <= most), [])


def _numbers_of_parts(workers: int) -> list[int]:
    """From the most to two: each a tenth less than the one before, and so many for each worker."""
    most = UNITS_PER_WORKER * workers
    numbers, parts = {workers * n for n in range(1, UNITS_PER_WORKER + 1)}, most
    while parts > 1:
        numbers.add(parts)
        parts = parts * 9 // 10
    return sorted(numbers, reverse=True)


def _end(lengths: NDArray[np.int64], workers: int) -> int:
    """When the last part ends, where each worker takes the next one once it has ended its own."""
    ends = [0] * workers
    for length in lengths.tolist():
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def _equal_cuts(todo: NDArray[np.int64], twice: NDArray[np.int64], parts: int) -> list[int]:
    """Near equal parts, where few batches are computed twice."""
    length = len(todo) / parts
    reach = int(length * _AROUND)
    cuts: list[int] = []
    for part in range(1, parts):
        middle = round(part * length)
        near = todo[max(middle - reach, 1) : middle + reach + 1]
        if not len(near):
            continue
        best = int(near[np.lexsort((abs(near - todo[middle]), twice[near]))[0]])
        if twice[best] <= MOST_TWICE * length and best > max(cuts[-1:], default=0):
            cuts.append(best)
    return cuts


def _twice(
    stage: Stage,
    batches: Sequence[NDArray[np.int64]],
    open_bands: Mapping[int, NDArray[np.bool_]],
) -> NDArray[np.int64]:
    """(batches,) how many batches before each of them reach into bands that begin with it."""
    firsts = np.array([batch[0] for batch in batches])
    pairs = []
    for n, is_open in open_bands.items():
        top = stage.corners[n][:, 0]
        height = stage.grid.windows[stage.images[n].window].count[0]
        last_open = np.maximum.accumulate(np.where(is_open, np.arange(len(is_open)), -1))
        reached = last_open[np.clip((top + height - 1) // layout.BAND, 0, len(is_open) - 1)]
        pairs.append((np.maximum.reduceat(reached, firsts), top[firsts] // layout.BAND))
    counts = np.zeros(len(batches), np.int64)
    for cut in range(1, len(batches)):
        reach = np.zeros(cut, np.bool_)
        for reached, begins in pairs:
            reach |= reached[:cut] >= max(begins[cut], 0)
        counts[cut] = np.count_nonzero(reach)
    return counts


def _rows_between(
    stage: Stage,
    image: int,
    batches: Sequence[NDArray[np.int64]],
    start: int,
    end: int,
    count: int,
) -> NDArray[np.bool_]:
    """(count,) bands of an image that begin with one batch and end before another."""

    def first(batch: int) -> int:
        if batch in (0, len(batches)):
            return count if batch else 0
        return int(np.clip(stage.corners[image][batches[batch][0], 0] // layout.BAND, 0, count))

    rows = np.arange(count)
    return np.asarray((rows >= first(start)) & (rows < first(end)))


def _touching(
    stage: Stage,
    batches: Sequence[NDArray[np.int64]],
    bands: Mapping[int, NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """(batches,) those with a tile that reaches into some bands."""
    tiles = np.zeros(len(stage), np.bool_)
    for n, wanted in bands.items():
        height = stage.grid.windows[stage.images[n].window].count[0]
        tiles |= touched(stage.corners[n][:, 0], height, wanted, layout.BAND)
    return _of_any(batches, tiles)


def _of_any(batches: Sequence[NDArray[np.int64]], tiles: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not batches:
        return np.zeros(0, np.bool_)
    # Batches are cut one behind the other; a slide has thousands.
    return np.logical_or.reduceat(tiles, [batch[0] for batch in batches])
