"""Tiles read beside the window: napari draws coarser pixels until the true ones are there."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from viewer_pictures import tissue

from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.slide_levels import TILE_PX, TilePyramid, slide_levels
from napari_smoothsal.viewer.tile_loader import load_beside

BOX = (slice(0, 700), slice(0, 1500))


class WaitingSlide(ArraySlide):
    """Is read once it may be."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        super().__init__([picture], (0.5, 0.5))
        self.may = threading.Event()
        self.may.set()

    def read_region(self, *args: Any, **kwargs: Any) -> NDArray[np.uint8]:
        assert self.may.wait(30)
        return super().read_region(*args, **kwargs)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return tissue(1024, 4096)


def as_napari(level: Any) -> Any:
    """What napari's slicing would get."""
    napari: dict[str, Any] = {"__name__": "napari.layers.slicing"}
    exec("def ask(level, box): return level[box]", napari)
    return napari["ask"](level, BOX)


def test_napari_is_answered_at_once_and_drawn_again_with_the_true_pixels(
    viewer: Any, picture: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = WaitingSlide(picture)
    levels = slide_levels(slide)
    load_beside(viewer)
    layer = viewer.add_image(levels, rgb=True, multiscale=True, contrast_limits=(0, 255))
    drawn: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(layer, "refresh", lambda **_: drawn.append(as_napari(levels[0])))
    levels[0].pyramid._cache.clear()
    slide.may.clear()
    rough = as_napari(levels[0])
    # Of the level in memory.
    enlarged = levels[-1].repeat(4, axis=0).repeat(4, axis=1)[BOX]
    np.testing.assert_array_equal(rough, enlarged)
    slide.may.set()
    qtbot.waitUntil(lambda: bool(drawn) and bool((drawn[-1] == picture[BOX]).all()), timeout=30_000)
    drawn.clear()
    qtbot.wait(200)
    assert not drawn, "nothing is drawn anew once all is there"


def test_what_is_drawn_again_was_put_together_beside_the_window(
    viewer: Any, picture: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = WaitingSlide(picture)
    levels = slide_levels(slide)
    load_beside(viewer)
    layer = viewer.add_image(levels, rgb=True, multiscale=True, contrast_limits=(0, 255))
    pyramid = levels[0].pyramid
    pyramid._cache.clear()
    threads: list[Any] = []
    put_together = pyramid.at_once

    def watched(*region: Any) -> Any:
        threads.append(threading.current_thread())
        return put_together(*region)

    monkeypatch.setattr(pyramid, "at_once", watched)
    drawn: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(layer, "refresh", lambda **_: drawn.append(as_napari(levels[0])))
    slide.may.clear()
    as_napari(levels[0])
    assert threads == [threading.main_thread()]
    slide.may.set()
    qtbot.waitUntil(lambda: bool(drawn) and bool((drawn[-1] == picture[BOX]).all()), timeout=30_000)
    assert len(threads) > 1 and threading.main_thread() not in threads[1:]


def test_whoever_else_asks_gets_the_true_pixels(
    viewer: Any, picture: NDArray[np.uint8], qtbot: Any
) -> None:
    levels = slide_levels(ArraySlide([picture], (0.5, 0.5)))
    load_beside(viewer)
    viewer.add_image(levels, rgb=True, multiscale=True, contrast_limits=(0, 255))
    assert levels[0].pyramid.loader is not None
    levels[0].pyramid._cache.clear()
    np.testing.assert_array_equal(levels[0][BOX], picture[BOX])
    # A slide that came in otherwise is read when it is drawn.
    other = slide_levels(ArraySlide([picture], (0.5, 0.5)))
    np.testing.assert_array_equal(as_napari(other[0]), picture[BOX])


def test_what_is_missing_is_shown_by_the_finest_tile_that_is_there(
    picture: NDArray[np.uint8],
) -> None:
    pyramid = TilePyramid(ArraySlide([picture], (0.5, 0.5)))
    assert len(pyramid.coarsest) == 256
    half = pyramid.tile((1, 0, 0)).copy()
    pyramid._cache.pop((0, 0, 1))
    pixels, missing = pyramid.at_once(0, range(TILE_PX), range(TILE_PX, 2 * TILE_PX))
    assert missing == [(0, 0, 1)]
    part = half[: TILE_PX // 2, TILE_PX // 2 :]
    np.testing.assert_array_equal(pixels, part.repeat(2, axis=0).repeat(2, axis=1))


def test_what_is_missing_may_begin_anywhere(picture: NDArray[np.uint8]) -> None:
    pyramid = TilePyramid(ArraySlide([picture], (0.5, 0.5)))
    enlarged = pyramid.coarsest.repeat(4, axis=0).repeat(4, axis=1)
    pyramid._cache.clear()
    pixels, _ = pyramid.at_once(0, range(3, 701), range(514, 1501))
    np.testing.assert_array_equal(pixels, enlarged[3:701, 514:1501])
