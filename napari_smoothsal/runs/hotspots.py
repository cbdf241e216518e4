"""Hotspots: connected regions of a map above a percentile, and any place that somebody names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.hotspot import Hotspot, Ring
from napari_smoothsal.runs.run import Run, RunMap
from napari_smoothsal.slides.drawing import drawn

PERCENTILE = 99.0
MOST_PX = 2**22
"""Of a level that is looked at; of a larger map, that is a coarser level."""
AROUND_UM = 25.0
"""Radius of a place that is no hotspot."""
CORNERS = 8
"""Of a quarter of the circle around such a place."""


def hotspots(run: Run, key: str, percentile: float = PERCENTILE, most: int = 50) -> list[Hotspot]:
    """The regions of a map whose magnitude is above a percentile, those of most saliency first.

    Parameters
    ----------
    run, key
        The map.
    percentile
        Of the magnitudes above zero, 0..100.
    most
        So many at most.

    Returns
    -------
    list of Hotspot
        Pixels that touch, by an edge or a corner, and have one sign are one region. Ordered by the
        sum of their magnitudes.

    Raises
    ------
    SettingError
        If the percentile is none.
    UnknownNameError
        If there is no such map.

    Notes
    -----
    Maps of more than `MOST_PX` pixels are looked at in the level of largest magnitudes that has
    fewer. Peaks come from there; means are those of the map, whatever the level.
    """
    looked = _Looked(run, key)
    return [looked.outlined(region) for region in looked.above(percentile)[:most]]


def hotspot_at(
    run: Run, key: str, place: tuple[float, float], percentile: float = PERCENTILE
) -> Hotspot:
    """The hotspot around a place; where there is none, a circle of 50 um around it.

    Parameters
    ----------
    run, key, percentile
        As for `hotspots`.
    place
        (x, y) in level-0 px.

    Raises
    ------
    SettingError, UnknownNameError
        As for `hotspots`.
    """
    looked = _Looked(run, key)
    for region in looked.above(percentile):
        if looked.is_in(region, place):
            return looked.outlined(region)
    y, x = np.divide(AROUND_UM, run.mpp)
    circle = shapely.Point(0, 0).buffer(1.0, quad_segs=CORNERS)
    around = shapely.transform(circle, lambda at: at * (x, y) + place)
    return looked.measured(around)


def measured_place(run: Run, key: str, geometry: shapely.Polygon | shapely.MultiPolygon) -> Hotspot:
    """What a map says of a region that somebody has drawn, in level-0 px.

    Raises
    ------
    UnknownNameError
        If there is no such map.
    """
    return _Looked(run, key).measured(geometry)


class _Region(NamedTuple):
    """Pixels of a level that belong together: those of one number, in a part of its labels."""

    total: float
    cut: tuple[slice, slice]
    labels: NDArray[np.int32]
    number: int
    percentile: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels[self.cut] == self.number)


class _Looked:
    """One level of a map, small enough to be held."""

    def __init__(self, run: Run, key: str) -> None:
        run_map = run.maps[key]
        self._mpp = run.mpp
        level = _level_of(run_map)
        h, w = (-(-size // 2**level) for size in run_map.shape)
        self._extremes = np.asarray(run_map.extreme_levels[level][:h, :w], np.float32)
        self._means = np.asarray(run_map.levels[level][:h, :w], np.float32)
        step = 2**level
        scale = np.divide(run_map.scale_um, run.mpp)
        # Of the corner of pixel 0. Centres are what is stored, and 0 is the centre of a px there.
        first = np.divide(run_map.translate_um, run.mpp) + 0.5 - scale / 2
        self._scale, self._first = scale[::-1] * step, first[::-1]  # (x, y)

    def above(self, percentile: float) -> list[_Region]:
        """Regions above a percentile, those of most saliency first."""
        from scipy import ndimage

        if not 0 <= percentile < 100:
            raise SettingError(
                f"percentile = {percentile!r}: give one from 0 to below 100, e.g. {PERCENTILE:g}"
            )
        values = np.nan_to_num(self._extremes)
        magnitude = np.abs(values)
        if not magnitude.any():
            return []
        limit = np.percentile(magnitude[magnitude > 0], percentile)
        found: list[_Region] = []
        for sign in (1, -1):
            strong = (magnitude >= limit) & (sign * values > 0)
            labels, count = ndimage.label(strong, np.ones((3, 3), bool))
            sums = ndimage.sum_labels(magnitude, labels, np.arange(1, count + 1))
            cuts = ndimage.find_objects(labels)
            found += [
                _Region(float(total), cut, labels, number, percentile)
                for number, (total, cut) in enumerate(zip(sums, cuts, strict=True), start=1)
            ]
        return sorted(found, key=lambda region: -region.total)

    def is_in(self, region: _Region, place: tuple[float, float]) -> bool:
        """Whether a place in level-0 px is in a region."""
        column, row = np.floor((place - self._first) / self._scale).astype(int)
        h, w = region.labels.shape
        inside = 0 <= row < h and 0 <= column < w
        return bool(inside and region.labels[row, column] == region.number)

    def outlined(self, region: _Region) -> Hotspot:
        """A region with its outline in level-0 px, and what the map says of it."""
        cut, mask = region.cut, region.mask
        corner = np.array((cut[1].start, cut[0].start))
        placed = shapely.transform(
            outline(mask), lambda at: (at + corner) * self._scale + self._first
        )
        parts = list(getattr(placed, "geoms", [placed]))
        mean, peak = self._read(self._means[cut][mask], self._extremes[cut][mask])
        return Hotspot(_rings(parts), mean, peak, self._area(parts), region.percentile)

    def measured(self, geometry: shapely.Polygon | shapely.MultiPolygon) -> Hotspot:
        """Mean and peak over the pixels whose centres are in a region, or over the one it is in."""
        parts = [p for p in getattr(geometry, "geoms", [geometry]) if not p.is_empty]
        polygons = np.array(parts, object)
        on_map = shapely.transform(polygons, lambda at: (at - self._first) / self._scale)
        pixels = drawn(on_map, self._means.shape)
        rows, columns = pixels.row, pixels.column
        if not len(rows):
            inside = on_map[0].representative_point()
            column, row = np.floor((inside.x, inside.y)).astype(int)
            if 0 <= row < self._means.shape[0] and 0 <= column < self._means.shape[1]:
                rows, columns = np.array([row]), np.array([column])
        mean, peak = self._read(self._means[rows, columns], self._extremes[rows, columns])
        return Hotspot(_rings(parts), mean, peak, self._area(parts))

    def _area(self, parts: list[shapely.Polygon]) -> float:
        return float(sum(part.area for part in parts) * self._mpp[0] * self._mpp[1])

    @staticmethod
    def _read(
        means: NDArray[np.float32], extremes: NDArray[np.float32]
    ) -> tuple[float | None, float | None]:
        means, extremes = means[np.isfinite(means)], extremes[np.isfinite(extremes)]
        if not len(means) or not len(extremes):
            return None, None
        return float(means.mean(dtype=np.float64)), float(extremes[np.abs(extremes).argmax()])


def outline(mask: NDArray[np.bool_]) -> shapely.Polygon | shapely.MultiPolygon:
    """The outline of the pixels of a mask, holes included; pixel k covers [k, k + 1]."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return shapely.union_all(shapely.box(starts, rows, ends, rows + 1))


def _level_of(run_map: RunMap) -> int:
    """The finest level of few enough pixels."""
    h, w = run_map.shape
    last = len(run_map.levels) - 1
    return next((k for k in range(last) if (h >> k) * (w >> k) <= MOST_PX), last)


def _rings(parts: list[shapely.Polygon]) -> tuple[tuple[Ring, ...], ...]:
    return tuple(
        tuple(
            tuple((float(x), float(y)) for x, y in ring.coords)
            for ring in (part.exterior, *part.interiors)
        )
        for part in parts
    )
