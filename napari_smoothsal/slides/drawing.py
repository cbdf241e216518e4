"""Polygons drawn as pixels, many at once: a pixel is inside where its centre is.

Coordinates are in px of the picture and whole numbers lie on the edges of pixels: pixel k covers
[k, k + 1] and has its centre at k + 1/2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

Whole = NDArray[np.int64]


class Drawn(NamedTuple):
    """Pixels inside polygons, polygon by polygon: (n,) each."""

    polygon: Whole
    row: Whole
    column: Whole


def drawn(polygons: NDArray[np.object_], shape: tuple[int, int]) -> Drawn:
    """Find the pixels of every polygon, without its holes, by scanlines.

    Parameters
    ----------
    polygons
        (n,) shapely Polygons. They may overlap and reach beyond the picture.
    shape
        (h, w) of the picture.

    Notes
    -----
    Each row's line through the centres of pixels crosses a ring an even number of times; between
    an odd crossing and the next it is inside. A centre on a left or upper edge is inside, one on
    a right or lower edge is not, so that polygons that share an edge share no pixel.
    """
    height, width = shape
    rings, of_ring = shapely.get_rings(polygons, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    first = np.flatnonzero(ring[:-1] == ring[1:])
    (x0, y0), (x1, y1) = points[first].T, points[first + 1].T
    begin = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
    end = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
    edge, row = _counted(begin, end)
    # Finite but absurd coordinates may overflow; they lie outside the picture on either side.
    with np.errstate(over="ignore", invalid="ignore"):
        slope = (x1 - x0)[edge] / (y1 - y0)[edge]
        x = np.nan_to_num(x0[edge] + (row + 0.5 - y0[edge]) * slope)
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    polygon = of_ring[ring[first]][edge]
    order = np.lexsort((column, row, polygon))
    enter, leave = order[::2], order[1::2]
    span, column = _counted(column[enter], column[leave])
    return Drawn(polygon[enter][span], row[enter][span], column)


def pixel_of(polygon: shapely.Polygon, shape: tuple[int, int]) -> tuple[int, int] | None:
    """The pixel (y, x) that a polygon smaller than a pixel is in; None where it is outside."""
    point = polygon.representative_point()
    x, y = np.floor((point.x, point.y))
    return (int(y), int(x)) if 0 <= x < shape[1] and 0 <= y < shape[0] else None


def _counted(begin: Whole, end: Whole) -> tuple[Whole, Whole]:
    """Every whole number from each begin to its end, beside the place of that pair."""
    count = np.maximum(end - begin, 0)
    pair = np.repeat(np.arange(len(begin)), count)
    before = np.cumsum(count) - count
    return pair, begin[pair] + np.arange(len(pair)) - before[pair]
