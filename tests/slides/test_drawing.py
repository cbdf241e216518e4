"""Polygons as pixels: against point-in-polygon, and by area where edges are whole numbers."""

import numpy as np
import pytest
import shapely

from napari_smoothsal.slides.drawing import drawn, pixel_of


def mask(shape: tuple[int, int], *polygons: shapely.Polygon) -> np.ndarray:
    pixels = drawn(np.array(polygons), shape)
    found = np.zeros(shape, int)
    np.add.at(found, (pixels.row, pixels.column), 1)
    return found


def test_a_pixel_is_inside_where_its_centre_is() -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((40, 50)) + 0.5
    for _ in range(30):
        angle = (np.arange(12) + rng.uniform(0, 0.9, 12)) * np.pi / 6
        radius = rng.uniform(3, 30, 12)
        star = shapely.Polygon(
            np.stack([25 + radius * np.cos(angle), 20 + radius * np.sin(angle)], 1)
        )
        shape = star - shapely.Point(25, 20).buffer(0.4 * radius.min())
        assert np.array_equal(mask((40, 50), shape) > 0, shapely.contains_xy(shape, x, y))


def test_neighbours_share_no_pixel_and_miss_none() -> None:
    # Edges through the centres of pixels: each belongs to one side.
    tiles = [
        shapely.box(x, y, x + 3, y + 4) for x in np.arange(0.5, 20, 3) for y in range(1, 17, 4)
    ]
    found = mask((20, 30), *tiles)
    assert found.max() == 1 and found.sum() == 12 * len(tiles)


def test_many_polygons_are_each_drawn_whole() -> None:
    polygons = np.array([shapely.box(2, 3, 7, 5), shapely.box(4, 1, 6, 9), shapely.box(0, 0, 1, 1)])
    pixels = drawn(polygons, (12, 12))
    assert np.bincount(pixels.polygon).tolist() == [10, 16, 1]
    assert not len(drawn(polygons[:0], (12, 12)).row)


@pytest.mark.parametrize("far", [1e3, 1e300])
def test_what_reaches_beyond_the_picture_is_cut(far: float) -> None:
    assert mask((6, 8), shapely.box(3, -far, far, far)).sum() == 6 * 5
    assert mask((6, 8), shapely.box(far, far, 2 * far, 2 * far)).sum() == 0


def test_a_speck_has_the_pixel_it_is_in() -> None:
    speck = shapely.box(3.1, 4.1, 3.2, 4.2)
    assert mask((9, 9), speck).sum() == 0 and pixel_of(speck, (9, 9)) == (4, 3)
    assert pixel_of(speck, (4, 4)) is None
