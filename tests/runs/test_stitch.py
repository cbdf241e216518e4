"""Stitching: no seams, any order, bounded memory; and the levels made from it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_smoothsal.runs.pyramid import halved_extreme, halved_mean, level_count
from napari_smoothsal.runs.stitch import BandStitcher, touched


def stitched(stitcher: BandStitcher, shape) -> np.ndarray:
    result = np.full(shape, np.nan, np.float32)
    for _, blocks in stitcher.finish(None):
        for block in blocks:
            result[block.place(0, block.values)] = block.values
    return result


@given(st.lists(st.tuples(st.integers(-9, 60), st.integers(-9, 50)), min_size=1, max_size=30))
def test_a_constant_field_stays_constant_and_the_rest_is_nan(corners) -> None:
    shape = (53, 41)
    stitcher = BandStitcher(shape, 16)
    weights = np.outer(np.linspace(0.1, 1, 12), np.linspace(1, 0.2, 12)).astype(np.float32)
    seen = np.zeros(shape, bool)
    for y, x in corners:
        stitcher.add(y, x, np.full((12, 12), 7, np.float32), weights)
        seen[max(0, y) : max(0, y + 12), max(0, x) : max(0, x + 12)] = True
    result = stitched(stitcher, shape)
    assert np.array_equal(~np.isnan(result), seen)
    assert np.allclose(result[seen], 7, rtol=1e-6)


def test_it_is_the_weighted_mean_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    shape, patches = (40, 40), []
    for _ in range(25):
        y, x = rng.integers(-4, 34, 2)
        patches.append((y, x, rng.normal(size=(10, 10)), rng.uniform(0.1, 1, (10, 10))))
    value, weight = np.zeros((60, 60)), np.zeros((60, 60))
    for y, x, v, w in patches:
        value[y + 10 : y + 20, x + 10 : x + 20] += v * w
        weight[y + 10 : y + 20, x + 10 : x + 20] += w
    expected = (value / np.where(weight > 0, weight, np.nan))[10:50, 10:50]
    for order in (patches, patches[::-1]):
        stitcher = BandStitcher(shape, 16)
        for y, x, v, w in order:
            stitcher.add(int(y), int(x), v.astype(np.float32), w.astype(np.float32))
        assert np.allclose(stitched(stitcher, shape), expected, atol=1e-5, equal_nan=True)


def test_bands_are_finished_once_in_order_and_freed() -> None:
    stitcher = BandStitcher((100, 10), 16)
    ones = np.ones((20, 10), np.float32)
    stitcher.add(0, 0, ones, ones)
    assert [band for band, _ in stitcher.finish(15)] == []
    assert [(band, len(list(blocks))) for band, blocks in stitcher.finish(16)] == [(0, 1)]
    stitcher.add(0, 0, ones, ones)  # its first 16 rows are written already
    assert len(stitcher._sums) == 1
    rest = [(band, len(list(blocks))) for band, blocks in stitcher.finish(None)]
    assert rest == [(1, 1), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)]
    assert len(stitcher._sums) == 0


def test_bands_that_are_written_are_left_alone() -> None:
    stitcher = BandStitcher((60, 4), 16, np.array([False, True, False, True]))
    ones = np.ones((40, 4), np.float32)
    stitcher.add(5, 0, ones, ones)
    found = {band: [block.values for block in blocks] for band, blocks in stitcher.finish(None)}
    assert list(found) == [1, 3] and np.isfinite(found[1][0]).all() and found[3] == []


def test_patches_that_reach_into_some_bands() -> None:
    reach = touched(np.array([-9, 0, 10, 32, 33, 70]), 16, np.array([False, True, False, True]), 16)
    assert reach.tolist() == [False, False, True, False, True, False]


@pytest.mark.parametrize("budget", [1, 3 * 2 * 16 * 32 * 4, 1 << 30])
def test_blocks_and_memory_do_not_change_a_map(budget, tmp_path: Path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    shape, patches = (90, 150), []
    for y in range(-4, 86, 7):
        for x in range(-4, 146, 9):
            patches.append((y, x, rng.normal(size=(2, 12, 12)), rng.uniform(0.1, 1, (12, 12))))

    def made(stitcher: BandStitcher) -> np.ndarray:
        result = np.full((2, *shape), np.nan, np.float32)
        peak = 0
        for y, x, v, w in patches:
            stitcher.add(y, x, v.astype(np.float32), w.astype(np.float32))
            peak = max(peak, sum(b.nbytes for b in stitcher._sums._held.values()))
            for _, blocks in stitcher.finish(y):
                for block in blocks:
                    result[(..., *block.place(0, block.values))] = block.values
        for _, blocks in stitcher.finish(None):
            for block in blocks:
                result[(..., *block.place(0, block.values))] = block.values
        assert peak <= max(stitcher._sums._budget, 3 * 16 * stitcher._sums._width * 4)
        return result

    whole = made(BandStitcher(shape, 16))
    monkeypatch.setattr("napari_smoothsal.runs.stitch.BLOCK_PX", 32)
    parts = made(BandStitcher(shape, 16, scratch=tmp_path, budget_bytes=budget))
    assert whole.tobytes() == parts.tobytes()
    assert list(tmp_path.iterdir()) == []


def test_levels() -> None:
    values = np.array([[1, -4, np.nan, np.nan], [2, 3, np.nan, np.nan]], np.float32)
    assert halved_mean(values)[0, 0] == pytest.approx(0.5)
    assert halved_extreme(values)[0, 0] == -4
    assert np.isnan(halved_mean(values)[0, 1]) and np.isnan(halved_extreme(values)[0, 1])
    half = np.array([[np.nan, 6], [np.nan, 2]], np.float32)
    assert halved_mean(half)[0, 0] == 4 and halved_extreme(half)[0, 0] == 6


def test_the_number_of_levels() -> None:
    sizes = (5, 1024, 1025, 2048, 2049, 10**7)
    assert [level_count((n, 10), 1024, 256) for n in sizes] == [1, 1, 2, 2, 3, 9]
