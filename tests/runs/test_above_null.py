"""What a calibrated map shows: in the store, in slices, at every level, and in pictures."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_runs import explained, small_bands

from napari_smoothsal import SaliencySpec
from napari_smoothsal.core.calibration import Calibration, calibrated_as
from napari_smoothsal.models import Model
from napari_smoothsal.render.limits import colour_limit, is_calibrated, said_of
from napari_smoothsal.runs import Run, RunMap
from napari_smoothsal.runs.above_null import AboveNull, _probability, above_null
from napari_smoothsal.slides import ArraySlide

SPEC = SaliencySpec(layer="layer1", samples=0)
REGION = (20, 20, 170, 170)


def calibration(run: Run, **fields: object) -> Calibration:
    """In the middle of what a run's map and tiles have."""
    (found,) = run.maps.values()
    known = {
        "limit": float(np.nanmedian(np.abs(found.levels[0]))),
        "probability": float(run.tiles["p_tumour"].median()),
        "full_colour": 1.5,
        "error_rate": 0.05,
        "expected": (0.024, 0.084),
        "decided_by": "normal tissue",
        "tiles": 200,
        "tile_px": 64,
        "copies": 39,
        "stain": 0.1,
        "predicted": 0.0,
        "target": "tumour",
    }
    return Calibration(spec=calibrated_as(found.spec), **(known | fields))


@pytest.fixture
def plain(noisy: ArraySlide, classifier: Model, tmp_path: Path) -> Run:
    return explained(noisy, classifier, tmp_path / "plain.zarr", [SPEC], region=REGION)


@pytest.fixture
def run(
    plain: Run,
    noisy: ArraySlide,
    classifier: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    small_bands(monkeypatch)
    classifier.calibrations = (calibration(plain),)
    return explained(noisy, classifier, tmp_path / "calibrated.zarr", [SPEC], region=REGION)


def only_map(run: Run) -> RunMap:
    (found,) = run.maps.values()
    return found


def limits_of(run: Run) -> AboveNull:
    found = above_null(run, only_map(run))
    assert found is not None
    return found


def test_the_limits_travel_with_the_map_and_leave_its_values(plain: Run, run: Run) -> None:
    assert only_map(plain).calibration is None and above_null(plain, only_map(plain)) is None
    assert said_of(only_map(plain)) == [] and not is_calibrated(only_map(plain))
    one = only_map(run)
    assert one.calibration == calibration(plain)
    assert colour_limit(one).value == 1.5  # full colour is what was measured with the limits
    height, width = one.shape
    old = only_map(plain).levels[0][:height, :width]
    np.testing.assert_array_equal(one.levels[0][:height, :width], old)
    assert one.calibration is not None and said_of(one) == [one.calibration.in_words]
    assert "measured on 200" in said_of(one)[0] and "2.4 to 8.4 %" in said_of(one)[0]


def test_full_colour_is_of_the_tissue_that_the_limits_are_of(
    plain: Run, classifier: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    """And of the model's few tiles of normal tissue only where there are no limits."""
    side = classifier.card.input_size
    classifier.normal_tissue = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), "u1")
    own = explained(noisy, classifier, tmp_path / "own.zarr", [SPEC], region=REGION)
    few = only_map(own).normal_magnitude
    assert few not in (None, 1.5) and colour_limit(only_map(own)).value == few
    classifier.calibrations = (calibration(plain),)
    limited = explained(noisy, classifier, tmp_path / "limited.zarr", [SPEC], region=REGION)
    assert colour_limit(only_map(limited)).value == 1.5
    # Beside maps without limits it is measured as theirs are.
    assert colour_limit(only_map(limited), calibrated=False).value == few
    assert colour_limit(only_map(limited), calibrated=False).of == "normal tissue"


def test_a_place_is_shown_where_a_tile_passes_and_the_map_is_strong(run: Run) -> None:
    one, limits = only_map(run), limits_of(run)
    assert one.calibration is not None and one.calibration.probability is not None
    values = np.asarray(one.levels[0])
    y, x = limits.centres(values.shape)
    shown = limits.blanked(values, y, x)
    halo, (scale, _) = run.provenance["grid"]["halo"], run.provenance["grid"][
        "level0_px_per_model_px"
    ]  # fmt: skip
    wanted = np.zeros(values.shape, bool)
    for tile in run.tiles.itertuples():
        if tile.p_tumour > one.calibration.probability:
            rim = halo * scale
            rows = (y + 0.5 > tile.y_px + rim) & (y + 0.5 < tile.y_px + tile.h_px - rim)
            columns = (x + 0.5 > tile.x_px + rim) & (x + 0.5 < tile.x_px + tile.w_px - rim)
            wanted[np.ix_(rows, columns)] = True
    strong = np.abs(values) > one.calibration.limit
    inside = np.isfinite(values)
    # What lies just on the edge of a tile's kept part may fall to either side.
    assert (((shown != 0) == (wanted & strong)) | ~inside).mean() > 0.995
    assert 0 < (wanted & strong & inside).sum() < inside.sum()
    np.testing.assert_array_equal(np.isnan(shown), np.isnan(values))
    seen = inside & (shown != 0)
    np.testing.assert_array_equal(shown[seen], values[seen])


def test_a_part_and_a_coarser_level_are_those_of_the_whole(run: Run) -> None:
    one, limits = only_map(run), limits_of(run)
    finest = np.asarray(one.extreme_levels[0])
    y, x = limits.centres(finest.shape)
    whole = limits.blanked(finest, y, x)
    part = np.s_[5:30, 11:40:2]
    np.testing.assert_array_equal(limits.blanked(finest[part], y[part[0]], x[part[1]]), whole[part])
    assert len(one.extreme_levels) > 1
    coarse = np.asarray(one.extreme_levels[1])
    shown = limits.blanked(coarse, *limits.centres(coarse.shape, 1))
    # The strongest of four pixels is shown if it lies in a tile that passes.
    blocks = np.nan_to_num(whole).reshape(coarse.shape[0], 2, coarse.shape[1], 2)
    assert ((np.nan_to_num(shown) != 0) == (blocks != 0).any((1, 3))).mean() > 0.93


def test_without_a_probability_all_tiles_pass(
    plain: Run, noisy: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    classifier.calibrations = (calibration(plain, probability=None),)
    run = explained(noisy, classifier, tmp_path / "dense.zarr", [SPEC], region=REGION)
    one, values = only_map(run), np.asarray(only_map(run).levels[0])
    shown = limits_of(run).blanked(values, *limits_of(run).centres(values.shape))
    assert one.calibration is not None
    strong = np.abs(values) > one.calibration.limit
    np.testing.assert_array_equal(shown[strong], values[strong])


def test_of_a_difference_the_two_stand_against_each_other() -> None:
    probabilities = {"p_a": [0.2, np.nan], "p_b-c": [0.3, 0.1], "p_d": [0.5, 0.2]}
    provenance = {"model": {"class_names": ["a", "b-c", "d"]}}
    run = SimpleNamespace(tiles=pd.DataFrame(probabilities), provenance=provenance)
    for target, first, nan in (("b-c-a", 0.6, True), ("a-b-c", 0.4, True), ("d-b-c", 0.625, False)):
        found = _probability(run, target)
        assert found[0] == pytest.approx(first) and np.isnan(found[1]) == nan
    assert _probability(run, "b-c").tolist() == [0.3, 0.1]


def test_limits_that_leave_nothing_are_told_and_not_used(
    plain: Run, noisy: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    classifier.calibrations = (calibration(plain, shown=0.25),)
    run = explained(noisy, classifier, tmp_path / "useless.zarr", [SPEC], region=REGION)
    assert not is_calibrated(only_map(run))
    (said,) = said_of(only_map(run))
    assert said.startswith("not calibrated") and "25 % of tiles of tumour" in said
