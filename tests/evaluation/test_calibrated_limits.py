"""Limits of maps: what stays blank, how often, and what is refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from napari_smoothsal import (
    CalibrationCheck,
    Compute,
    ModelCard,
    SaliencySpec,
    calibrate,
    explain_tiles,
)
from napari_smoothsal.core.calibration import Calibration, spread
from napari_smoothsal.core.checks import Randomisation
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.evaluation.seen_tiles import target_probability
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Model

HOW = CalibrationCheck(error_rate=0.1, copies=19, copy_tiles=4, stain=0)
COMPUTE = Compute(precision="fp32")
SPEC = SaliencySpec(layer="0", method="activation_x_gradient", samples=2, target="dark")


def darkness(size: int = 16, others: int = 0, threshold: float = 6.0) -> Model:
    """Sees dark spots: the share of dark pixels against a threshold.

    With other classes, a copy that has learned nothing finds each of them seldom.
    """
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2 + others),
    )
    with torch.no_grad():
        module[0].weight[:] = -torch.rand(4, 3, 3, 3) / 9
        module[0].bias[:] = torch.tensor([1.0, 0.9, 1.1, 1.0])
        module[4].weight[:] = 0
        module[4].weight[1] = 3
        module[4].bias[:] = 0
        module[4].bias[1:] = torch.tensor([-threshold, *[-5.0] * others])
    names = ("light", "dark", *(f"other{number}" for number in range(others)))
    card = ModelCard(
        name="darkness",
        kind="classification",
        class_names=names,
        background="light",
        input_size=size,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    return Model(module.eval(), card)


def tiles(seed: int, count: int, dark: bool = False) -> torch.Tensor:
    """Light noise, each tile of its own level; with ``dark``, half of each is nearly black."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 256, (count, 3, 16, 16)) * rng.uniform(0.6, 1, (count, 1, 1, 1))
    if dark:
        images[..., :12] *= 0.1
    return torch.from_numpy(images.astype(np.uint8))


def shows(model: Model, images: torch.Tensor, one: Calibration) -> np.ndarray:
    """(n,) whether anything of a tile is above the limits."""
    found = explain_tiles(model, images, SPEC, COMPUTE)
    largest = found.reduced.abs().amax((1, 2)).double().numpy()
    probability = target_probability(found.original_probabilities, (1,)).numpy()
    return np.asarray((largest > one.limit) & (probability > one.probability))


@pytest.fixture(scope="module")
def measured() -> Calibration:
    (one,) = calibrate(darkness(), tiles(0, 80), [SPEC], tiles(1, 10, dark=True), HOW, COMPUTE)
    return one


def test_held_out_normal_tiles_stay_blank_as_often_as_is_said(measured: Calibration) -> None:
    share = shows(darkness(), tiles(100, 400), measured).mean()
    # The copies ask for more: what of normal tissue is above that is counted.
    assert measured.decided_by == "randomised copies" and measured.above == 0
    assert measured.expected == (0, pytest.approx(1 - 0.025 ** (1 / 80)))
    assert "0 of 80 normal tiles (95 % interval 0 to 4.5 %)" in measured.in_words
    assert "at most 10 % of tiles with 19 random copies" in measured.in_words
    # Three standard errors of 400 tiles beyond the interval.
    high = measured.expected[1]
    assert share <= high + 3 * np.sqrt(high * (1 - high) / 400)


def test_where_normal_tissue_decides_as_many_tiles_show_something_as_is_said() -> None:
    model = darkness(others=6, threshold=5.8)
    (one,) = calibrate(model, tiles(0, 200), [SPEC], how=HOW)
    assert one.decided_by == "normal tissue" and one.above == 19
    low, high = one.expected
    assert 0.05 < low < 0.1 < high < 0.15
    assert (
        "at most 10 % of normal tiles (95 % interval 6.2 to 14 %), measured on 200" in one.in_words
    )
    share = shows(model, tiles(100, 400), one).mean()
    slack = 3 * np.sqrt(0.1 * 0.9 / 400)
    assert low - slack <= share <= high + slack


def test_held_out_randomised_models_stay_blank(measured: Calibration) -> None:
    model = darkness()
    shown = []
    for seed in range(1000, 1030):
        copy = randomised(model, blocks_of(model), Randomisation(seed=seed), tiles(0, 8))
        shown.append(shows(copy, tiles(seed, 4), measured).mean())
    assert np.mean(shown) <= 0.1 + 3 * np.std(shown) / np.sqrt(30)


def test_what_the_model_sees_is_shown(measured: Calibration) -> None:
    assert measured.shown == 1.0 and measured.useful
    assert shows(darkness(), tiles(200, 20, dark=True), measured).all()
    assert measured.limit > 0 and 0 < measured.probability < 1
    assert f"p(dark) > {measured.probability:.2f}" in measured.in_words


@pytest.mark.parametrize("error_rate", [0.1, 0.25])
def test_of_normal_tissue_that_share_of_a_map_is_above_its_limit(error_rate: float) -> None:
    how = HOW.model_copy(update={"error_rate": error_rate})
    (one,) = calibrate(darkness(), tiles(0, 60), [SPEC], how=how)
    found = explain_tiles(darkness(), tiles(100, 60), SPEC, COMPUTE).reduced.abs()
    assert (found > one.limit).double().mean() == pytest.approx(error_rate, rel=0.2)
    assert one.limit < one.full_colour < found.max() * 1.5


def test_limits_hold_for_tissue_that_is_stained_otherwise() -> None:
    # As many tiles as give their largest: none of them, however stained, may be above it.
    images = tiles(3, 9)
    (one,) = calibrate(darkness(), images, [SPEC], how=HOW.model_copy(update={"stain": 0.5}))
    (plain,) = calibrate(darkness(), images, [SPEC], how=HOW)
    assert one.probability > plain.probability
    for factors in ((0.5, 0.5), (1.5, 1.5), (1.5, 0.5)):
        assert not shows(darkness(), stained(images, *factors), one).any()


def dark_pixels() -> Model:
    """The same, decided for each pixel."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        module[0].weight[:] = -torch.full((4, 3, 3, 3), 1 / 18)
        module[0].bias[:] = 1.0
        module[2].weight[:] = torch.tensor([[0.0] * 4, [3.0] * 4])[:, :, None, None]
        module[2].bias[:] = torch.tensor([0.0, -6.0])
    card = darkness().card.model_copy(update={"name": "dark pixels", "kind": "segmentation"})
    return Model(module.eval(), card)


DENSE = SPEC.model_copy(update={"samples": 0})


def with_a_dark_spot(images: torch.Tensor, side: int) -> torch.Tensor:
    images = images.clone()
    images[..., 4 : 4 + side, 4 : 4 + side] = 0
    return images


def test_of_a_model_that_decides_per_pixel_the_strongest_places_are_limited() -> None:
    model, dark = dark_pixels(), with_a_dark_spot(tiles(1, 10), 8)
    bright = 128 + tiles(0, 100) // 2
    (one,) = calibrate(model, bright, [DENSE], dark, HOW)
    assert one.probability is None and one.limit > 0 and one.shown == 1
    found = explain_tiles(model, 128 + tiles(100, 200) // 2, DENSE, COMPUTE)
    share = (found.reduced.abs().amax((1, 2)).double() > one.limit).double().mean().item()
    high = one.expected[1]
    assert share <= high + 3 * np.sqrt(high * (1 - high) / 200)


def test_of_a_model_that_decides_per_pixel_pixels_are_counted() -> None:
    bright = 128 + tiles(0, 20) // 2
    (one,) = calibrate(dark_pixels(), with_a_dark_spot(bright, 4), [DENSE], how=HOW)
    assert 0 < one.predicted < 0.1  # though every tile has some
    with pytest.raises(SettingError, match="% of the pixels of the 20 tiles, more than 10 %"):
        calibrate(dark_pixels(), with_a_dark_spot(bright, 10), [DENSE], how=HOW)


def test_maps_are_those_of_tiles_from_all_over() -> None:
    white = torch.full((30, 3, 16, 16), 255, dtype=torch.uint8)
    few = HOW.model_copy(update={"map_tiles": 10})
    (of_white,) = calibrate(darkness(), white, [SPEC], how=few)
    (mixed,) = calibrate(darkness(), torch.cat([white, tiles(0, 30)]), [SPEC], how=few)
    assert mixed.limit > 1.1 * of_white.limit


@pytest.mark.parametrize(("count", "most"), [(401, 400), (799, 400), (60, 60), (7, 60), (200, 60)])
def test_what_is_taken_lies_all_over(count: int, most: int) -> None:
    taken = spread(count, most)
    assert len(taken) == min(count, most) and taken[0] == 0 and taken[-1] < count
    gaps = np.diff([*taken, count])
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_a_constant_model_shows_nothing() -> None:
    model = darkness()
    for parameter in model.module.parameters():
        nn.init.zeros_(parameter)
    (one,) = calibrate(model, tiles(0, 20), [SPEC], how=HOW)
    assert not shows(model, tiles(1, 20), one).any()
    assert not shows(model, tiles(1, 20, dark=True), one).any()


def test_limits_that_leave_nothing_are_no_default(measured: Calibration) -> None:
    assert not measured.model_copy(update={"shown": 0.3}).useful
    assert measured.model_copy(update={"shown": None}).useful


def test_samples_seed_and_targets_name_do_not_matter_but_noise_does(measured: Calibration) -> None:
    model = darkness()
    model.calibrations = (measured,)
    for changes, differing in (
        ({"samples": 50, "seed": 3}, []),
        ({"samples": "auto"}, []),
        ({"target": 1}, []),
        ({"samples": 0}, ["samples = 0 (measured: 'some')"]),
        ({"layer": "1"}, ["layer = '1' (measured: '0')"]),
        ({"sigma": 0.1}, ["sigma = 0.1 (measured: 0.2)"]),
        ({"denoising": "original"}, ["denoising = 'original' (measured: 'centred_hook')"]),
    ):
        spec = SPEC.model_copy(update=changes)
        assert (model.calibration_of(spec, "dark") is measured) == (not differing), changes
        assert model.uncalibrated_for(spec, "dark") == differing
    assert model.calibration_of(SPEC, "light") is None
    assert model.uncalibrated_for(SPEC, "light") == ["target = 'light' (measured: 'dark')"]


def test_limits_of_whole_tiles_are_for_tiles_of_their_size(measured: Calibration) -> None:
    model = darkness()
    model.calibrations = (measured.model_copy(update={"probability": None}),)
    assert model.calibration_of(SPEC, "dark") is model.calibration_of(SPEC, "dark", 16) is not None
    assert model.calibration_of(SPEC, "dark", 32) is None
    assert model.uncalibrated_for(SPEC, "dark", 32) == ["tile_px = 32 (measured: 16)"]


def test_of_a_difference_the_two_stand_against_each_other() -> None:
    spec = SPEC.model_copy(update={"target": "dark-light"})
    (one,) = calibrate(darkness(), tiles(0, 20), [spec], how=HOW)
    assert one.target == "dark-light" and 0 < one.probability < 1
    probabilities = torch.tensor([[0.2, 0.6, 0.2]])
    assert target_probability(probabilities, (1, 0)).item() == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: {"images": tiles(0, 8)}, r"8 normal tile\(s\).* give 9 or more, or error_rate"),
        (lambda: {"how": HOW.model_copy(update={"copies": 8})}, "8 randomised copies.* give 9 or"),
        (
            lambda: {"images": torch.cat([tiles(0, 8), tiles(1, 2, dark=True)])},
            "predicts 'dark' of 20 % of the 10 tiles, more than 10 %: they are no normal tissue",
        ),
        (
            lambda: {"specs": [SPEC.model_copy(update={"target": "auto"})]},
            "target = 'auto' means no class",
        ),
        (
            lambda: {"specs": [SPEC.model_copy(update={"target": "unit:1:0"})]},
            "target = 'unit:1:0' means no class",
        ),
        (lambda: {"images": tiles(0, 20)[:, :2]}, "images have shape"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change: Callable[[], dict], said: str) -> None:
    given = {"images": tiles(0, 12), "specs": [SPEC], "how": HOW} | change()
    with pytest.raises(SettingError, match=said):
        calibrate(darkness(), **given)
