"""AUROC and average precision against plain, slow definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from napari_smoothsal.evaluation.ranking import auroc, average_precision, ranked


def of(values, positive, negative=None, block=None, blocks: int = 1):
    values, positive = np.asarray(values, float), np.asarray(positive, float)
    negative = 1 - positive if negative is None else np.asarray(negative, float)
    block = np.zeros(len(values), int) if block is None else block
    return ranked(values, positive, negative, block, blocks)


def slow_average_precision(values, positive) -> float:
    """Sum over thresholds of precision times the recall that it adds."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        taken = [p for v, p in zip(values, positive, strict=True) if v >= threshold]
        now = sum(taken) / sum(positive)
        total += (now - recall) * sum(taken) / len(taken)
        recall = now
    return total


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_both_with_many_ties(items: list[tuple[int, bool]]) -> None:
    values, positive = (np.array(column) for column in zip(*items, strict=True))
    sorted_ = of(values, positive)
    area = auroc(sorted_.positive, sorted_.negative)
    if positive.all() or not positive.any():
        assert np.isnan(area)
        return
    u = mannwhitneyu(values[positive], values[~positive]).statistic
    assert area == pytest.approx(u / positive.sum() / (~positive).sum())
    precision = average_precision(sorted_.positive, sorted_.negative)
    assert precision == pytest.approx(slow_average_precision(values, positive))


def test_an_item_that_is_half_positive_is_two_half_items() -> None:
    rng = np.random.default_rng(0)
    values, share = rng.normal(size=50), rng.random(50)
    whole = of(values, share)
    halves = of(np.repeat(values, 2), np.tile([1, 0], 50) * np.repeat(share, 2),
                np.tile([0, 1], 50) * np.repeat(1 - share, 2))  # fmt: skip
    assert auroc(whole.positive, whole.negative) == auroc(halves.positive, halves.negative)
    pairs = np.outer(share, 1 - share) * (
        (values[:, None] > values) + (values[:, None] == values) / 2
    )
    expected = pairs.sum() / share.sum() / (1 - share).sum()
    assert auroc(whole.positive, whole.negative) == pytest.approx(expected)


def test_blocks_sum_to_the_whole_and_few_ranks_hardly_matter() -> None:
    rng = np.random.default_rng(1)
    positive = rng.random(30_000) < 0.2
    values = rng.normal(size=30_000) + positive
    block = rng.integers(0, 7, 30_000)
    sorted_ = of(values, positive, block=block, blocks=7)
    assert sorted_.positive_by_block.shape == (7, 2048)
    assert sorted_.positive_by_block.sum(1) == pytest.approx(np.bincount(block, positive))
    for statistic in (auroc, average_precision):
        exact = statistic(sorted_.positive, sorted_.negative)
        few = statistic(sorted_.positive_by_block.sum(0), sorted_.negative_by_block.sum(0))
        assert few == pytest.approx(exact, abs=5e-4)
        one = statistic(sorted_.positive_by_block[3:4], sorted_.negative_by_block[3:4])[0]
        alone = of(values[block == 3], positive[block == 3])
        assert one == pytest.approx(float(statistic(alone.positive, alone.negative)), abs=2e-3)
