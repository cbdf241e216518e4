"""The reader: order, errors kept to their tile, a bounded lead, no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from slide_pictures import noise

from napari_smoothsal.core.errors import SettingError, SlideError, TileReadError
from napari_smoothsal.slides import ArraySlide, Box
from napari_smoothsal.slides.reader import TileReader


class SlowSlide(ArraySlide):
    """Fails where x is odd; the earlier a tile, the longer it takes."""

    def read_box(self, box: Box, size: tuple[int, int], resampling="area") -> np.ndarray:
        time.sleep(0.02 / (1 + box.x))
        if int(box.x) % 2:
            raise TileReadError(f"tile at {box.x}")
        return np.full((size[1], size[0], 3), int(box.x), np.uint8)


def boxes(n: int) -> list[Box]:
    return [Box(i, 0, 4, 4) for i in range(n)]


def in_batches(n: int, size: int) -> list[list[Box]]:
    return [boxes(n)[i : i + size] for i in range(0, n, size)]


def reading_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("smoothsal-reader")]


@pytest.fixture
def slide() -> ArraySlide:
    return SlowSlide([noise(8, 8)], background=(9, 8, 7))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert reading_threads() == []


@pytest.mark.parametrize("n_threads", [1, 3])
def test_order_is_kept_and_errors_stay_with_their_tile(slide, n_threads: int) -> None:
    with TileReader(slide, 4, threads=n_threads) as reader:
        batches = list(reader.batches(in_batches(11, 4)))
    assert [len(b.images) for b in batches] == [4, 4, 3]
    images = np.concatenate([b.images for b in batches])
    errors = [e for b in batches for e in b.errors]
    assert images.shape == (11, 4, 4, 3) and images.dtype == np.uint8
    for i, (image, error) in enumerate(zip(images, errors, strict=True)):
        if i % 2:
            assert isinstance(error, TileReadError) and f"tile at {i}" in str(error)
            assert (image == (9, 8, 7)).all()
        else:
            assert error is None and (image == i).all()


def test_the_lead_is_bounded(slide) -> None:
    taken = 0

    def source() -> Iterator[list[Box]]:
        nonlocal taken
        for batch in in_batches(40, 2):
            taken += 1
            yield batch

    with TileReader(slide, 4, threads=2, prefetch=3) as reader:
        assert taken == 0
        for held, _ in enumerate(reader.batches(source()), start=1):
            assert taken <= held + 3
            assert taken >= min(20, held)
    assert taken == 20


class Counting(ArraySlide):
    """Counts what is read; each tile takes 5 ms."""

    def __init__(self) -> None:
        super().__init__([noise(8, 8)])
        self.read = 0

    def read_box(self, box: Box, size: tuple[int, int], resampling="area") -> np.ndarray:
        self.read += 1
        time.sleep(0.005)
        return super().read_box(box, size, resampling)


def test_closing_cancels_what_has_not_begun() -> None:
    slide = Counting()
    with TileReader(slide, 4, threads=2, prefetch=2) as reader:
        held = reader.batches([boxes(2), boxes(500), boxes(500)])
        next(held)  # kept alive: the reader itself must stop its threads
    assert slide.read < 50
    assert reading_threads() == []
    del held


def test_leaving_the_loop_frees_the_threads_for_the_next_one() -> None:
    slide = Counting()
    with TileReader(slide, 4, threads=1) as reader:
        for _ in reader.batches([boxes(1), boxes(400), boxes(400)]):
            break
        assert len(list(reader.batches([boxes(2)]))) == 1
        assert slide.read < 50


def test_an_exception_of_the_consumer_ends_the_threads(slide) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        TileReader(slide, 4, threads=2) as reader,
    ):
        for _ in reader.batches(in_batches(100, 10)):
            raise KeyboardInterrupt


def test_an_error_that_is_not_a_tiles_ends_the_run() -> None:
    class Broken(ArraySlide):
        def read_box(self, box: Box, size: tuple[int, int], resampling="area") -> np.ndarray:
            raise ZeroDivisionError

    with (
        TileReader(Broken([noise(8, 8)]), 4, threads=2) as reader,
        pytest.raises(ZeroDivisionError),
    ):
        list(reader.batches(in_batches(10, 5)))


def test_a_closed_reader_and_a_closed_slide_say_so() -> None:
    slide = ArraySlide([noise(8, 8)])
    reader = TileReader(slide, 4)
    reader.close()
    reader.close()
    with pytest.raises(SlideError, match="closed"):
        next(reader.batches([boxes(1)]))
    slide.close()
    with TileReader(slide, 4) as reader, pytest.raises(SlideError, match="closed"):
        next(reader.batches([boxes(1)]))


def test_nothing_to_read_is_no_batch(slide) -> None:
    with TileReader(slide, 4) as reader:
        assert list(reader.batches([])) == []
        (empty,) = reader.batches([[]])
    assert empty.images.shape == (0, 4, 4, 3) and empty.errors == ()


def test_any_number_of_threads_reads_the_same() -> None:
    slide = ArraySlide([noise(200, 200)])
    rng = np.random.default_rng(1)
    wanted = [Box(*rng.uniform(-20, 150, 2), 41.3, 39.9) for _ in range(30)]
    results = []
    for n in (1, 4):
        with TileReader(slide, 32, threads=n) as reader:
            results.append(
                np.concatenate([b.images for b in reader.batches([wanted[:7], wanted[7:]])])
            )
    assert np.array_equal(*results)


@pytest.mark.parametrize("field", ["tile_px", "threads", "prefetch"])
def test_numbers_below_1_are_refused(slide, field: str) -> None:
    settings = {"tile_px": 4, "threads": 1, "prefetch": 1} | {field: 0}
    with pytest.raises(SettingError, match=f"{field} = 0"):
        TileReader(slide, **settings)
