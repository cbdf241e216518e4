"""Levels of a slide for napari: shapes, pixels, laziness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from viewer_pictures import tissue

from napari_smoothsal.core.errors import TileReadError
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.slide_levels import TILE_PX, UNREADABLE, TilePyramid, slide_levels


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return tissue(1203, 5001)


def block_means(picture: NDArray[np.uint8], times: int) -> NDArray[np.float64]:
    values = picture.astype(float)
    for _ in range(times):
        h, w = values.shape[0] // 2, values.shape[1] // 2
        values = values[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).mean(axis=(1, 3))
    return values


def test_each_level_is_exactly_half_the_one_before(picture: NDArray[np.uint8]) -> None:
    levels = slide_levels(ArraySlide([picture], (0.5, 0.5)))
    assert [level.shape for level in levels] == [
        (1208, 5008, 3),
        (604, 2504, 3),
        (302, 1252, 3),
        (151, 626, 3),
    ]
    assert isinstance(levels[-1], np.ndarray)
    assert not any(isinstance(level, np.ndarray) for level in levels[:-1])


def test_pixels_are_means_and_the_padding_is_glass(picture: NDArray[np.uint8]) -> None:
    levels = slide_levels(ArraySlide([picture], (0.5, 0.5)))
    np.testing.assert_array_equal(levels[0][:1203, :5001], picture)
    assert (levels[0][1203:] == 255).all() and (levels[0][:, 5001:] == 255).all()
    for k in (1, 2, 3):
        want = block_means(picture, k)[:150, :600]
        assert np.abs(np.asarray(levels[k][:150, :600]) - want).max() <= 0.5 * k + 1e-9


def test_stored_levels_are_used_where_they_fit(picture: NDArray[np.uint8]) -> None:
    marked = np.zeros((1203 // 4, 5001 // 4, 3), np.uint8)  # a 4x level that says so
    levels = slide_levels(ArraySlide([picture, marked], (0.5, 0.5)))
    assert np.asarray(levels[1][:100, :100]).max() > 0
    assert np.asarray(levels[2][:100, :100]).max() == 0
    assert np.asarray(levels[3][:100, :100]).max() == 0  # made from the 4x level


KEYS: list[Any] = [
    (slice(500, 600), slice(1000, 1100)),
    (slice(None), slice(510, 514), slice(None)),
    (Ellipsis, 1),
    (700, slice(0, 2000, 7)),
    (slice(-5, None), -1),
    (slice(1200, 1000, -3), slice(3, 3)),
    3,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_numpys(picture: NDArray[np.uint8], key: Any) -> None:
    level = slide_levels(ArraySlide([picture], (0.5, 0.5)))[0]
    whole = np.full((1208, 5008, 3), 255, np.uint8)
    whole[:1203, :5001] = picture
    np.testing.assert_array_equal(level[key], whole[key])


def test_only_the_tiles_asked_for_are_read_and_only_once(picture: NDArray[np.uint8]) -> None:
    class Counting(ArraySlide):
        reads = 0

        def read_region(self, *args: Any, **kwargs: Any) -> NDArray[np.uint8]:
            self.reads += 1
            return super().read_region(*args, **kwargs)

    slide = Counting([picture], (0.5, 0.5))
    pyramid = TilePyramid(slide)
    for _ in range(2):
        pyramid.region(0, range(10, 20), range(TILE_PX - 5, TILE_PX + 5))
        assert slide.reads == 2


def test_an_unreadable_tile_is_grey_and_told_once(picture: NDArray[np.uint8]) -> None:
    class Broken(ArraySlide):
        def read_region(self, x: int, y: int, w: int, h: int, level: int = 0) -> NDArray[np.uint8]:
            if x >= TILE_PX:
                raise TileReadError("image: cannot be decoded")
            return super().read_region(x, y, w, h, level)

    pyramid = TilePyramid(Broken([picture], (0.5, 0.5)))
    with pytest.warns(UserWarning, match="cannot be decoded") as told:
        region = pyramid.region(0, range(600), range(2 * TILE_PX + 1))
    assert len(told) == 1
    assert (region[:, TILE_PX:] == UNREADABLE).all()
    np.testing.assert_array_equal(region[:, :TILE_PX], picture[:600, :TILE_PX])


def test_a_small_slide_has_one_level_in_memory() -> None:
    (level,) = slide_levels(ArraySlide([tissue(100, 200)], (0.5, 0.5)))
    assert isinstance(level, np.ndarray) and level.shape == (100, 200, 3)
