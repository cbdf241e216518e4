"""ViewPixels: all pixels around a view on the model's pixel grid, and which of them lie in a shape.

Tiles overlap; whoever changes pixels of a view changes them once, here, and tiles are cut out of
the result, so that a place shows the same in every tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.slides.base import Box, Slide
from napari_smoothsal.slides.drawing import drawn
from napari_smoothsal.slides.reader import TileReader

MOST_PX = 2**24
"""Pixels of a view that are held and filled at once: 4096 x 4096."""

_BLOCK_PX = 256
_BLOCKS_AT_ONCE = 16

Pair = tuple[float, float]
Shape: TypeAlias = shapely.Geometry | Sequence[ArrayLike]
"""What is drawn: a shapely (Multi)Polygon, or polygons (n, 2) of corners (x, y). In level-0 px,
whole numbers lying on the edges of pixels, as in GeoJSON."""


@dataclass(frozen=True, eq=False)
class ViewPixels:
    """Pixels of a slide at a model's resolution.

    Attributes
    ----------
    origin
        (y, x) of the first one on the model grid.
    scale
        Level-0 px per model px, (y, x).
    pixels
        (H, W, 3) uint8.
    """

    origin: tuple[int, int]
    scale: Pair
    pixels: NDArray[np.uint8]

    def changed_to(self, pixels: NDArray[np.uint8]) -> ViewPixels:
        """The same place with other pixels."""
        return replace(self, pixels=pixels)

    def inside(self, polygons: NDArray[np.object_]) -> NDArray[np.bool_]:
        """(H, W): the pixels whose centres lie in any of some shapely Polygons, in level-0 px."""
        factors, origin = 1 / np.array(self.scale[::-1]), np.array(self.origin[::-1])
        here = shapely.transform(polygons, lambda corners: corners * factors - origin)
        height, width = self.pixels.shape[:2]
        found = np.zeros((height, width), np.bool_)
        _, rows, columns = drawn(here, (height, width))
        found[rows, columns] = True
        return found

    def window(self, box: Box, side: int) -> tuple[slice, slice]:
        """Rows and columns of a square of `side` px that is read from a level-0 box."""
        first = (round(box.y / self.scale[0]), round(box.x / self.scale[1]))
        y, x = (a - b for a, b in zip(first, self.origin, strict=True))
        height, width = self.pixels.shape[:2]
        assert 0 <= y <= height - side and 0 <= x <= width - side, "tiles of the view lie in it"
        return slice(y, y + side), slice(x, x + side)

    def placement(self, mpp: Pair) -> tuple[Pair, Pair]:
        """(y, x) micrometres of a pixel, and of the centre of the first from that of level 0's.

        Parameters
        ----------
        mpp
            (y, x) micrometres per level-0 px.
        """
        (dy, dx), (y, x) = self.scale, self.origin
        # A pixel that covers d level-0 px is centred (d - 1)/2 behind the first of them.
        place = (y * dy + (dy - 1) / 2, x * dx + (dx - 1) / 2)
        return (dy * mpp[0], dx * mpp[1]), (place[0] * mpp[0], place[1] * mpp[1])


def read_view(
    slide: Slide,
    corners: tuple[int, int, int, int],
    scale: Pair,
    resampling: Resampling = "area",
    *,
    threads: int | None = None,
) -> ViewPixels:
    """Read a rectangle of the model grid, block by block, in threads.

    Parameters
    ----------
    slide
        Open. Where it cannot be decoded, the result has the background's colour.
    corners
        (top, left, bottom, right) in model px.
    scale
        Level-0 px per model px, (y, x).
    resampling
        As the model's card says.
    threads
        That read; see `Compute.readers`.

    Raises
    ------
    SettingError
        Where it has more pixels than `MOST_PX`.
    """
    top, left, bottom, right = corners
    height, width = bottom - top, right - left
    if height * width > MOST_PX:
        raise SettingError(
            f"a view of {width} x {height} px at the model's resolution is more than the "
            f"{MOST_PX} px that are changed at once; choose a smaller region"
        )
    rows, columns = (range(0, size, _BLOCK_PX) for size in (height, width))
    places = [(y, x) for y in rows for x in columns]
    batches = [places[i : i + _BLOCKS_AT_ONCE] for i in range(0, len(places), _BLOCKS_AT_ONCE)]
    pixels = np.empty((height, width, 3), np.uint8)
    with TileReader(slide, _BLOCK_PX, threads=threads, resampling=resampling) as reader:
        boxes = [[_box(top + y, left + x, scale) for y, x in batch] for batch in batches]
        for batch, blocks in zip(batches, reader.batches(boxes), strict=True):
            for (y, x), block in zip(batch, blocks.images, strict=True):
                here = pixels[y : y + _BLOCK_PX, x : x + _BLOCK_PX]
                here[...] = block[: here.shape[0], : here.shape[1]]
    return ViewPixels((top, left), scale, pixels)


def polygons_of(shape: Shape) -> NDArray[np.object_]:
    """(n,) shapely Polygons of what is drawn.

    Raises
    ------
    SettingError
        Where it has no area, a corner is no finite number, or there are fewer than three.
    """
    given: Iterable[object] = [shape] if _is_drawn(shape) else shape
    drawn_ones = [x if _is_drawn(x) else shapely.Polygon(_checked_corners(x)) for x in given]
    found = [part for one in drawn_ones for part in getattr(one, "geoms", [one])]
    # Invalid outlines (a bow tie) are drawn all the same: a pixel is inside by its row's line.
    good = [one for one in found if isinstance(one, shapely.Polygon) and not one.is_empty]
    if not good or len(good) < len(found):
        raise SettingError(
            "shape has no area: give a shapely Polygon or MultiPolygon, or a list of polygons, "
            "each an array (corners, 2) of x, y in level-0 px"
        )
    polygons = np.empty(len(good), object)
    polygons[:] = good
    return polygons


def _is_drawn(value: object) -> bool:
    return isinstance(value, shapely.Geometry)


def _checked_corners(given: object) -> NDArray[np.float64]:
    try:
        corners = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 2 or corners.shape[1:] != (2,) or len(corners) < 3:
        raise SettingError(
            f"shape holds a polygon of shape {corners.shape}; give at least three corners x, y "
            "of each, in level-0 px: an array (corners, 2)"
        )
    if not np.isfinite(corners).all():
        raise SettingError("shape holds a corner that is no finite number; give level-0 px")
    return corners


def _box(y: int, x: int, scale: Pair) -> Box:
    dy, dx = scale
    return Box(float(x * dx), float(y * dy), _BLOCK_PX * dx, _BLOCK_PX * dy)
