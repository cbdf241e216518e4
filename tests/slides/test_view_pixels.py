"""The pixels around a view on the model's grid: as tiles have them, and what a shape covers."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.slides import ArraySlide, Box, view_pixels
from napari_smoothsal.slides.view_pixels import ViewPixels, polygons_of, read_view

SCALE = (2.0, 3.0)


@pytest.fixture(scope="module")
def slide() -> ArraySlide:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 960, 3), dtype=np.uint8)
    return ArraySlide([pixels], mpp=(0.5, 0.5), name="noise")


def test_every_block_is_what_a_tile_of_that_place_shows(slide: ArraySlide) -> None:
    view = read_view(slide, (3, -5, 340, 290), SCALE)
    assert view.pixels.shape == (337, 295, 3)
    for y, x in ((3, -5), (200, 100), (276, 226)):
        box, size = Box(x * 3.0, y * 2.0, 64 * 3.0, 64 * 2.0), (64, 64)
        assert np.array_equal(view.pixels[view.window(box, 64)], slide.read_box(box, size))


def test_it_lies_where_level_0_says(slide: ArraySlide) -> None:
    view = read_view(slide, (10, 20, 14, 26), SCALE)
    scale, translate = view.placement((0.5, 0.25))
    assert scale == (1.0, 0.75)
    # Rows 20 and 21 of level 0 are centred at 20.5; columns 60 to 62 at 61.
    assert translate == (20.5 * 0.5, 61 * 0.25)


def test_a_pixel_is_inside_where_its_centre_is() -> None:
    view = ViewPixels((10, 20), SCALE, np.zeros((6, 8, 3), np.uint8))
    # Model rows 11 to 13 and columns 22 to 24, but for the half of a pixel on every side.
    corners = np.array([(22.6, 11.6), (25.4, 11.6), (25.4, 14.4), (22.6, 14.4)]) * (3.0, 2.0)
    expected = np.zeros((6, 8), bool)
    expected[2:4, 3:5] = True
    assert np.array_equal(view.inside(polygons_of([corners])), expected)
    hole = shapely.Polygon(shapely.box(60, 20, 84, 32).exterior, [corners.tolist()])
    assert np.array_equal(view.inside(polygons_of(hole)), ~expected)
    two = shapely.MultiPolygon([shapely.box(60, 20, 63, 22), shapely.box(81, 30, 84, 32)])
    found = view.inside(polygons_of(two))
    assert found.sum() == 2 and found[0, 0] and found[5, 7]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ([], "no area"),
        (shapely.Point(1, 2), "no area"),
        (shapely.Polygon(), "no area"),
        ([[(0, 0), (1, 1)]], "at least three corners"),
        ([[(0, 0, 0), (1, 1, 1), (2, 2, 2)]], "at least three corners"),
        ([["a", "b"]], "at least three corners"),
        ([[(0, 0), (1, np.nan), (2, 2)]], "finite"),
    ],
)
def test_what_has_no_area_is_refused(shape: object, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        polygons_of(shape)


def test_more_than_can_be_held_is_refused_before_it_is_read(
    slide: ArraySlide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_pixels, "MOST_PX", 99)
    assert read_view(slide, (0, 0, 9, 11), SCALE).pixels.shape == (9, 11, 3)
    with pytest.raises(SettingError, match=r"10 x 10 px .* smaller region"):
        read_view(slide, (0, 0, 10, 10), SCALE)
