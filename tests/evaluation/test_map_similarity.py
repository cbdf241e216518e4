"""Similarity of maps: closed forms."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.map_similarity import UNKNOWN, Looks, similarity

SIDES = (7, 14, 28, 56, 224)


def noise(seed: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(side, side))


@pytest.mark.parametrize("side", SIDES)
def test_a_map_is_like_itself_and_its_negative_but_for_the_sign(side: int) -> None:
    one = noise(0, side)
    assert similarity(one, one) == pytest.approx((1, 1, 1, 1))
    assert similarity(one, -3 * one) == pytest.approx((-1, 1, 1, 1))


def test_ranks_are_those_of_spearman_with_ties() -> None:
    one, other = noise(0, 14).round(1), noise(1, 14).clip(min=0)
    found = similarity(one, other)
    assert found.spearman == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    magnitudes = spearmanr(np.abs(one).ravel(), other.ravel()).statistic
    assert found.spearman_absolute == pytest.approx(magnitudes)


def test_pictures_are_compared_as_published() -> None:
    def picture(values: np.ndarray) -> np.ndarray:
        sizes = np.abs(values)
        return ((sizes - sizes.min()) / (np.percentile(sizes, 99) - sizes.min())).clip(max=1)

    one, other = noise(0, 224), noise(0, 224) + noise(1, 224)
    a, b = picture(one), picture(other)
    found = similarity(one, other)
    published = structural_similarity(a, b, data_range=1, gaussian_weights=True)
    assert found.ssim == pytest.approx(published)
    edges = [hog(x, pixels_per_cell=(16, 16)) for x in (a, b)]
    assert found.hog == pytest.approx(spearmanr(*edges).statistic)


def test_unrelated_maps_are_not_alike_and_structure_is_seen_through_noise() -> None:
    unrelated = similarity(noise(0, 112), noise(1, 112))
    assert np.abs(unrelated).max() < 0.1
    smooth = 5 * gaussian_filter(noise(0, 112), 4)
    related = similarity(smooth, smooth + 0.1 * noise(1, 112))
    assert min(related) > 0.3


def test_the_scale_of_a_map_does_not_matter() -> None:
    one, other = noise(0, 56), noise(0, 56) + noise(1, 56)
    assert similarity(one, other) == pytest.approx(similarity(1e-9 * one, 1e6 * other), abs=1e-9)


def test_a_few_towering_pixels_do_not_hide_the_rest() -> None:
    one = noise(0, 56)
    towering = one.copy()
    towering[20, 20:23] = 1e4
    assert min(similarity(one, towering)) > 0.9


def test_maps_without_anything_to_compare_are_unknown_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zero, holes = np.zeros((28, 28)), noise(0, 28)
        holes[3, 3] = np.nan
        endless = noise(0, 28)
        endless[3, 3] = np.inf
        for other in (zero, zero + 2.5, holes, endless):
            assert np.isnan(similarity(noise(0, 28), other)).all()
        assert np.isnan(similarity(zero, zero)).all() and np.isnan(UNKNOWN).all()
        # Of one magnitude, but of two signs: ranks alone know anything.
        signs = np.sign(noise(0, 28))
        known = ~np.isnan(similarity(signs, signs))
        assert known.tolist() == [True, False, False, False]
        # One bright pixel has ranks, and no picture below its 99th percentile.
        spot = zero.copy()
        spot[3, 3] = 1
        assert similarity(spot, spot)[:2] == pytest.approx((1, 1))
        assert np.isnan(similarity(spot, spot).ssim)


def test_small_maps_have_what_fits_into_them() -> None:
    for side, known in ((1, 0), (2, 2), (5, 3), (6, 4)):
        one = noise(0, side)
        assert (~np.isnan(similarity(one, one))).sum() == known


def test_what_is_computed_once_compares_alike() -> None:
    one, other = noise(0, 28), noise(0, 28) + noise(1, 28)
    assert similarity(Looks(one), Looks(other)) == similarity(one, other)
    with pytest.raises(SettingError, match=r"\(28, 28\) and \(14, 14\)"):
        similarity(one, noise(0, 14))
