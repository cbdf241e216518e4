"""Limits that a further draw exceeds with a known chance."""

import numpy as np
import pytest

from napari_smoothsal.evaluation.conformal import (
    conformal_limit,
    counted_share,
    expected_share,
    fewest,
)


@pytest.mark.parametrize("n", [19, 39, 40, 200])
def test_the_error_rate_holds_on_held_out_draws(n: int) -> None:
    rng = np.random.default_rng(n)
    draws = rng.gamma(0.3, size=(4000, n + 1))  # far from normal
    above = [row[-1] > conformal_limit(row[:-1], 0.05) for row in draws]
    assert 0.05 - 1 / (n + 1) - 0.011 < np.mean(above) < 0.05 + 0.011  # three standard errors


@pytest.mark.parametrize("members", [1, 2, 7])
def test_it_holds_for_a_further_group_whose_members_are_alike(members: int) -> None:
    rng = np.random.default_rng(members)
    above = []
    for _ in range(3000):
        groups = rng.normal(size=(40, 1)) + 0.2 * rng.normal(size=(40, members))
        above.append((groups[-1] > conformal_limit(groups[:-1], 0.05)).mean())
    assert np.mean(above) < 0.05 + 0.012
    # Taken for draws of their own, members would promise more than groups keep.
    assert conformal_limit(groups[:-1], 0.05) >= conformal_limit(groups[:-1].ravel(), 0.05)


def test_fewest_draws_give_their_largest() -> None:
    assert [fewest(rate) for rate in (0.5, 0.2, 0.1, 0.05, 0.01)] == [1, 4, 9, 19, 99]
    for rate in (0.5, 0.2, 0.1, 0.05):
        assert conformal_limit(np.arange(fewest(rate)), rate) == fewest(rate) - 1
    assert conformal_limit(np.arange(20), 0.05) == 19  # nothing but the largest until there are 39
    assert conformal_limit(np.arange(39), 0.05) == 37


def test_the_share_above_one_limit_lies_where_it_is_said() -> None:
    rng = np.random.default_rng(0)
    low, high = expected_share(60, 0.1)
    shares = [1 - conformal_limit(rng.random(60), 0.1) for _ in range(2000)]  # of the uniform
    inside = np.mean([(low < share) and (share < high) for share in shares])
    assert inside == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3])
def test_a_share_that_is_counted_lies_where_it_is_said(share: float) -> None:
    rng = np.random.default_rng(1)
    intervals = [counted_share(int(k), 100) for k in rng.binomial(100, share, 500)]
    assert np.mean([low <= share <= high for low, high in intervals]) >= 0.94
    assert counted_share(0, 200) == (0, pytest.approx(1 - 0.025 ** (1 / 200)))
