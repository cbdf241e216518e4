"""Blocks: what is cut out of them is what a direct read gives, and each is read once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slide_pictures import halved, noise, write_tiff

from napari_smoothsal.core.errors import TileReadError
from napari_smoothsal.slides import Box, open_slide
from napari_smoothsal.slides.blocks import LOOSE_SIDE, BlockCache, LevelBlocks
from napari_smoothsal.slides.file_slide import FileSlide
from napari_smoothsal.slides.openslide_slide import OpenSlideSlide

SLIDE = Path(__file__).parents[2] / "sample_data" / "sample_slide.tif"


class Unkept(OpenSlideSlide):
    """Every region is read by itself."""

    def _read_level(self, level, x, y, w, h):
        downsample = self.level_downsamples[level]
        assert downsample.is_integer()
        return self._read_inside(level, x, y, w, h), x, y


@pytest.mark.parametrize("which", ["sample", "real"])
def test_boxes_are_bit_equal_to_those_read_one_by_one(which: str, request) -> None:
    path = SLIDE
    if which == "real":
        path = request.getfixturevalue("real_slides") / "CMU-1-Small-Region.svs"
    kept, unkept = open_slide(path), Unkept(path)

    @settings(max_examples=40, deadline=None)
    @given(
        st.floats(-200, 6200),
        st.floats(-200, 4200),
        st.sampled_from([1.0, 1.0, 1.37, 2.0, 2.0161, 4.0, 5.5]),
        st.booleans(),
        st.sampled_from(["area", "bilinear"]),
    )
    def check(x: float, y: float, d: float, whole: bool, resampling) -> None:
        box = Box(round(x), round(y), 96 * d, 96 * d) if whole else Box(x, y, 96 * d, 96 * d)
        one = kept.read_box(box, (96, 96), resampling)
        assert np.array_equal(one, unkept.read_box(box, (96, 96), resampling))

    with kept, unkept:
        check()


class Counted:
    """A picture whose blocks are counted as they are read; slow, so that threads meet."""

    def __init__(self, height: int, width: int, native: int = 64, capacity: int = 2**29) -> None:
        self.picture = noise(height, width)
        self.reads: list[tuple[int, ...]] = []
        self.cut = LevelBlocks.of((width, height), (native, native))
        self.cache = BlockCache([self.cut], self.read, capacity)
        self.pause = 0.0

    def read(self, level: int, x: int, y: int, w: int, h: int) -> np.ndarray:
        self.reads.append((x, y, w, h))
        time.sleep(self.pause)
        return self.picture[y : y + h, x : x + w].copy()


def test_small_native_tiles_are_joined_and_large_ones_cut() -> None:
    assert LevelBlocks.of((999, 999), (64, 64)).block_w == 256
    assert LevelBlocks.of((999, 999), (240, 240)).block_w == 240
    assert LevelBlocks.of((999, 999), (1024, 512)) == LevelBlocks(
        999, 999, 1024, 512, aligned=True, joined=False
    )
    for native in (None, (4096, 4096), (0, 256)):
        cut = LevelBlocks.of((9999, 9999), native)
        assert not cut.aligned and cut.block_w == cut.block_h == LOOSE_SIDE


def test_a_row_by_row_scan_reads_each_block_once_in_the_memory_of_two_rows() -> None:
    two_rows = 2 * 256 * 3000 * 3
    scan = Counted(2000, 3000, capacity=two_rows)
    for y in range(0, 1700, 144):
        for x in range(0, 2700, 144):
            region = scan.cache.region(0, x, y, 224, 224)
            assert np.array_equal(region, scan.picture[y : y + 224, x : x + 224])
            kept = [block.result().nbytes for block in scan.cache._blocks.values()]
            assert sum(kept) == scan.cache._bytes <= two_rows
    assert len(scan.reads) == len(set(scan.reads))
    assert two_rows < scan.picture.nbytes / 2


def test_memory_has_a_limit_whatever_is_asked_for() -> None:
    scan = Counted(1500, 1500, capacity=10**6)
    scan.cache.region(0, 0, 0, 1500, 1500)
    assert scan.cache._bytes <= 10**6


def test_threads_read_a_block_once_and_do_not_queue_behind_each_other() -> None:
    scan = Counted(512, 2048)
    scan.pause = 0.02
    wrong: list[int] = []

    def read(x: int) -> None:
        region = scan.cache.region(0, x, 100, 400, 300)
        if not np.array_equal(region, scan.picture[100:400, x : x + 400]):
            wrong.append(x)

    threads = [threading.Thread(target=read, args=(x,)) for x in range(0, 1600, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(scan.reads) == len(set(scan.reads)) == 16


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    scan = Counted(256, 256)
    good, scan.cache._read = scan.cache._read, None

    def broken(*where: int) -> np.ndarray:
        time.sleep(0.05)
        raise TileReadError("broken")

    scan.cache._read = broken
    failed: list[bool] = []

    def read() -> None:
        with pytest.raises(TileReadError):
            scan.cache.region(0, 0, 0, 9, 9)
        failed.append(True)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 3 and not scan.cache._blocks
    scan.cache._read = good
    assert np.array_equal(scan.cache.region(0, 0, 0, 9, 9), scan.picture[:9, :9])


def test_a_broken_native_tile_spoils_no_other_tile(tmp_path: Path, monkeypatch) -> None:
    """Blocks join small native tiles: a broken neighbour in the block must not matter."""
    image = noise(300, 300)
    real = OpenSlideSlide.read_region

    def read_region(slide, x, y, w, h, level=0):
        if x < 64 and y < 64:
            raise TileReadError("broken")
        return real(slide, x, y, w, h, level)

    monkeypatch.setattr(OpenSlideSlide, "read_region", read_region)
    with open_slide(write_tiff(tmp_path / "a.tif", [image])) as slide:
        assert isinstance(slide, FileSlide)
        got = slide.read_box(Box(100, 100, 50, 50), (50, 50))
        assert np.array_equal(got, image[100:150, 100:150])
        with pytest.raises(TileReadError):
            slide.read_box(Box(10, 10, 50, 50), (50, 50))


class Holed(OpenSlideSlide):
    """What touches the native tiles in level-0 px 512 to 1023, each way, cannot be decoded."""

    tries = 0

    def _composed(self, handle, x, y, w, h, level):
        if max(x, 512) < min(x + w, 1024) and max(y, 512) < min(y + h, 1024):
            self.tries += 1
            raise openslide.OpenSlideError("broken")
        return super()._composed(handle, x, y, w, h, level)


@pytest.mark.parametrize("native", [64, 256, 2048])
def test_outlining_damage_tries_what_is_broken_few_times(native: int, tmp_path: Path) -> None:
    """Each failure costs a new handle. Native tiles are joined, are blocks, or are cut."""
    image = noise(1536, 2048)
    with Holed(write_tiff(tmp_path / "a.tif", [image], tile=native)) as slide:
        picture, damaged = slide.survey(1024)
        blocks = 4 if native == 256 else 16
        assert slide.tries <= 4 * blocks, "twice each, and some that reach into them"
        hole = np.s_[256:512, 256:512]
        assert damaged[hole].all() and (picture[hole] == slide.background).all()
        assert damaged.sum() <= 1.5 * damaged[hole].size
        before = slide.tries
        with pytest.raises(TileReadError):
            slide.read_box(Box(600, 600, 50, 50), (50, 50))
        assert slide.tries > before, "a drive may have come back: later it is tried again"


def test_a_closed_slide_keeps_nothing(tmp_path: Path) -> None:
    image = noise(300, 300)
    slide = open_slide(write_tiff(tmp_path / "a.tif", [image, halved(image)]))
    slide.read_box(Box(0, 0, 100, 100), (50, 50))
    assert slide._blocks._blocks
    slide.close()
    assert not slide._blocks._blocks and slide._blocks._bytes == 0
