"""Intervals of blocks: width by the standard error, seeded, and none where blocks are few."""

import numpy as np
import pytest

from napari_smoothsal.evaluation.bootstrap import LEAST_BLOCKS, Blocks


def places(side: int, step: float = 64.0) -> np.ndarray:
    y, x = np.mgrid[:side, :side] * step + step / 2
    return np.stack([y.ravel(), x.ravel()], axis=1)


def mean_of(blocks: Blocks, at: np.ndarray, values: np.ndarray):
    block = blocks.of(at)
    sums, counts = blocks.sums(block, values), blocks.sums(block, np.ones(len(values)))
    return blocks.measured(values.mean(), blocks.weights @ sums / (blocks.weights @ counts))


def test_blocks_are_squares_of_their_size() -> None:
    at = places(8)
    blocks = Blocks(at, 256.0)
    assert len(blocks) == 4
    assert np.array_equal(blocks.of(at).reshape(8, 8)[:4, :4], np.zeros((4, 4)))
    assert len(np.unique(blocks.of(at).reshape(8, 8)[::4, ::4])) == 4
    assert (blocks.weights.sum(1) == 4).all()


def test_the_interval_of_a_mean_is_its_standard_error() -> None:
    at = places(40)
    rng = np.random.default_rng(0)
    independent = rng.normal(size=len(at))
    blocks = Blocks(at)
    result = mean_of(blocks, at, independent)
    assert result.low < 0 < result.high
    assert result.high - result.low == pytest.approx(2 * 1.96 / 40, rel=0.25)
    # The same number of values, all equal within a block: only 100 of them are independent.
    equal = rng.normal(size=len(blocks))[blocks.of(at)]
    result = mean_of(blocks, at, equal)
    assert result.high - result.low == pytest.approx(2 * 1.96 / 10, rel=0.25)


def test_a_seed_repeats_and_another_differs() -> None:
    at = places(20)
    assert np.array_equal(Blocks(at, seed=3).weights, Blocks(at, seed=3).weights)
    assert not np.array_equal(Blocks(at, seed=3).weights, Blocks(at, seed=4).weights)


def test_few_blocks_have_no_interval() -> None:
    at = places(12)
    assert len(Blocks(at)) == 9 < LEAST_BLOCKS
    result = mean_of(Blocks(at), at, np.arange(144.0))
    assert result.value == 71.5 and np.isnan(result.low) and np.isnan(result.high)


def test_no_place_at_all_is_no_error() -> None:
    assert len(Blocks(np.empty((0, 2)))) == 0
