"""Differences of maps in localisation: against `localisation` itself, and what is compared."""

import numpy as np
import pytest
import shapely
from placed_maps import ArrayMap, array_run, outlines, squares

from napari_smoothsal import SaliencySpec, localisation
from napari_smoothsal.evaluation.localised_pairs import (
    FIGURES,
    compared_localisation,
    two_sided_p,
)

SIZE, MPP, STRIDE = 1536, 0.5, 4
N = SIZE // STRIDE
SMALL = {"block_um": 128.0, "resamples": 200}


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    grid = [shapely.transform(s, lambda p: p * STRIDE) for s in squares(rng, N, 3, 8)]
    others = [g for i, g in enumerate(grid) if i % 4]
    return outlines(tumour_nucleus=grid[::4], normal_nucleus=others)


def painted(truth) -> np.ndarray:
    values = np.zeros((N, N), np.float32)
    for shape in truth.shapes[truth.names == "tumour nucleus"]:
        x0, y0, x1, y1 = (int(v) // STRIDE for v in shape.bounds)
        values[y0:y1, x0:x1] = 1
    return values


def run_of(truth, noise: dict[str, float], shift_um: float = 0.0, **settings):
    """Maps of the nuclei, by denoising with so much noise."""
    maps = {}
    for i, (name, size) in enumerate(noise.items()):
        rng = np.random.default_rng(i)
        denoising, _, match = name.partition(":")
        spec = SaliencySpec(
            layer="layer1",
            denoising=denoising,
            denoising_options={"match": match} if match else {},
            **settings,
        )
        values = painted(truth) + size * rng.standard_normal((N, N)).astype(np.float32)
        scale, first = STRIDE * MPP, (STRIDE - 1) / 2 * MPP
        place = (first, first + shift_um * (denoising == "backward_hook"))
        maps[name] = ArrayMap(values, (scale, scale), place, spec=spec)
    return array_run(maps, (SIZE, SIZE), MPP)


def test_a_better_map_is_better_and_the_difference_is_that_of_the_figures(truth) -> None:
    run = run_of(truth, {"original": 2.0, "backward_hook": 0.5, "gaussian_blur:backward_hook": 2.0})
    frame = compared_localisation(run, truth, **SMALL)
    assert list(dict.fromkeys(frame["against"])) == ["original", "blur as smooth as backward_hook"]
    assert (frame["low"] > 0).all() and (frame["p"] < 0.02).all()
    single = localisation(run, truth, **SMALL).set_index("key")
    for name in FIGURES:
        row = frame[(frame["figure"] == name) & (frame["against"] == "original")].iloc[0]
        expected = single.loc["backward_hook", name] - single.loc["original", name]
        assert row["difference"] == pytest.approx(expected)
        assert row["low"] <= row["difference"] <= row["high"]


def test_maps_alike_do_not_differ_and_pairing_narrows_the_interval(truth) -> None:
    run = run_of(truth, {"original": 1.0, "centred_hook": 1.0})
    run.maps["centred_hook"].values = run.maps["original"].values + 1e-3
    frame = compared_localisation(run, truth, **SMALL)
    rows = frame[frame["figure"] == "pixel_auroc"].iloc[0]
    assert rows["low"] == rows["high"] == rows["difference"] == 0 and rows["p"] == 1


def test_a_map_that_misses_a_block_is_drawn_by_the_same_blocks(truth) -> None:
    run = run_of(truth, {"original": 2.0, "centred_hook": 2.0})
    values = run.maps["original"].values.copy()
    values[:64, :64] = np.nan  # one block of 128 um
    run.maps["centred_hook"].values = values
    frame = compared_localisation(run, truth, **SMALL).set_index("figure")
    single = localisation(run, truth, **SMALL).set_index("key").loc["original"]
    apart = single["pixel_auroc_high"] - single["pixel_auroc_low"]
    width = frame.loc["pixel_auroc", "high"] - frame.loc["pixel_auroc", "low"]
    assert 0 < width < 0.5 * apart


def test_the_p_value_is_of_both_sides() -> None:
    assert two_sided_p(np.array([-1.0, 1, 1, 1, np.nan])) == pytest.approx(2 * (1 + 1) / (1 + 4))
    assert two_sided_p(np.array([-1.0, 1])) == 1
    assert two_sided_p(np.full(199, -1.0)) == pytest.approx(0.01)


def test_what_lies_elsewhere_is_compared_over_the_same_blocks(truth) -> None:
    noise = {"original": 0.5, "backward_hook": 0.5, "centred_hook": 0.5}
    frame = compared_localisation(run_of(truth, noise, shift_um=8.0), truth, **SMALL)
    pixels = frame[frame["figure"] == "pixel_auroc"].set_index(["denoising", "against"])
    assert pixels.loc[("backward_hook", "original"), "high"] < -0.1
    assert pixels.loc[("centred_hook", "backward_hook"), "low"] > 0.1
    low, high = pixels.loc[("centred_hook", "original"), ["low", "high"]]
    assert -0.02 < low < high < 0.02


@pytest.mark.parametrize(
    "names",
    [
        ("original",),
        ("original", "gaussian_blur"),
        ("backward_hook", "gaussian_blur:centred_hook"),
    ],
)
def test_without_a_pair_nothing_is_compared(truth, names) -> None:
    assert compared_localisation(run_of(truth, dict.fromkeys(names, 1.0)), truth, **SMALL).empty
