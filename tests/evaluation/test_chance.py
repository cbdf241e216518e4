"""Chance level: noise with a map's values and smoothness, and how alike it is."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_smoothsal import total_variation
from napari_smoothsal.evaluation.chance import chance_similarities, unrelated
from napari_smoothsal.evaluation.map_similarity import Looks


def smooth(sigma: float, side: int = 56, power: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(side, side))
    values = gaussian_filter(noise, sigma) if sigma else noise
    return np.sign(values) * np.abs(values) ** power


def width(values: np.ndarray) -> np.ndarray:
    return np.std(chance_similarities(Looks(values), seed=1, draws=20), axis=0)


def test_the_chance_level_of_smooth_maps_is_wider_than_that_of_rough_ones() -> None:
    rough, middle, very_smooth = (width(smooth(sigma)) for sigma in (0, 2, 5))
    assert (middle[:2] > 2 * rough[:2]).all() and (very_smooth[:2] > middle[:2]).all()


@pytest.mark.parametrize("power", [1, 3])
@pytest.mark.parametrize("sigma", [0, 1, 3])
def test_unrelated_maps_have_the_values_and_the_smoothness(sigma: float, power: float) -> None:
    one = smooth(sigma, power=power)
    others = unrelated(one, seed=3, draws=8)
    for other in others:
        assert np.array_equal(np.sort(other, axis=None), np.sort(one, axis=None))
        assert not np.array_equal(other, one)
    variations = total_variation(torch.from_numpy(np.stack([one, *others])))
    assert float(variations[1:].mean()) == pytest.approx(float(variations[0]), rel=0.15)


def test_by_chance_maps_are_not_alike() -> None:
    found = np.mean(chance_similarities(Looks(smooth(1, side=112)), seed=1, draws=20), axis=0)
    assert np.abs(found).max() < 0.05


def test_magnitudes_that_all_lie_above_zero_have_a_chance_level_too() -> None:
    relu = smooth(2).clip(min=0)
    for other in unrelated(relu, seed=0):
        assert (other == 0).sum() == (relu == 0).sum()


def test_seeds_repeat_and_nothing_comes_of_a_constant_map() -> None:
    one = smooth(1)
    assert np.array_equal(unrelated(one, 4), unrelated(one, 4))
    assert not np.array_equal(unrelated(one, 4)[0], unrelated(one, 5)[0])
    assert unrelated(np.ones((8, 8)), 0) == []
    assert unrelated(np.full((8, 8), np.nan), 0) == []
