"""Tiles that are predicted and not explained: what a run says of them, finished or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_runs import SPECS, explained

from napari_smoothsal import Compute
from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.above_null import AboveNull
from napari_smoothsal.runs.choice import choice_in_words
from napari_smoothsal.runs.tile_states import tile_states

CPU = Compute(batch_size=3, device="cpu")


@pytest.fixture
def some(noisy, classifier, tmp_path: Path) -> Run:
    return explained(noisy, classifier, tmp_path / "some.zarr", SPECS[:1], compute=CPU, top=4)


def test_predictions_are_of_all_tiles_and_maps_of_some(some: Run) -> None:
    tiles = some.tiles
    assert len(some.predicted) == len(tiles) and (some.predicted.predicted != "").all()
    assert len(some.not_explained) == len(tiles) - 4
    assert some.not_explained.p_tumour.notna().all()
    (run_map,) = some.maps.values()
    # Hatching, and what is said of maps, is of tiles that have one.
    assert set(some.tiles_of_another_class(run_map).status) <= {"done"}
    assert set(some.weakly_predicted.status) <= {"done"}
    states = tile_states(some, run_map)
    assert states.explained.sum() == 4 and states.choice == "at most 4"
    assert not states.otherwise[~states.explained].any()
    assert not ((states.owners > 0) & (states.owners_not_explained > 0)).any()


def test_while_a_run_goes_on_what_is_chosen_is_pending_not_left_out(
    noisy, classifier, tmp_path: Path
) -> None:
    whole = explained(noisy, classifier, tmp_path / "w.zarr", SPECS[:1], compute=CPU, top=4)
    left_out = set(whole.not_explained.index)
    seen = []
    for after in (2, 9):  # while tiles are predicted, and once they are chosen
        asked: list[bool] = []
        stages: list[str] = []

        def stop(asked=asked, stages=stages, after=after) -> bool:
            asked.append(True)
            return len(asked) > after if after < 9 else "explaining" in stages

        out = tmp_path / f"{after}.zarr"
        run = explained(
            noisy, classifier, out, SPECS[:1], compute=CPU, top=4, stop=stop,
            progress=lambda p, stages=stages: stages.append(p.stage),
        )  # fmt: skip
        assert run.status == "running"
        assert set(run.not_explained.index) <= left_out
        seen.append((len(run.not_explained), len(run.predicted)))
    (none, few), (all_left_out, every) = seen
    assert none == 0 and 0 < few < every == len(whole.tiles)
    assert all_left_out == len(left_out)


def test_a_choice_in_words() -> None:
    assert choice_in_words("p(tumour) > 0.5", None) == "where p(tumour) > 0.5"
    assert choice_in_words(None, 1200) == "at most 1,200"
    assert choice_in_words("p(a) > 0", 2) == "where p(a) > 0, at most 2"


def test_a_tile_without_a_map_lets_nothing_of_its_neighbours_pass(some: Run) -> None:
    (run_map,) = some.maps.values()
    limits = Calibration.model_construct(limit=0.0, probability=0.0, target="tumour")
    null = AboveNull(some, run_map, limits)
    y, x = null.centres(run_map.shape)
    shown = null.blanked(np.ones(run_map.shape, np.float32), y, x) > 0
    kept = np.isfinite(run_map.levels[0][: run_map.shape[0], : run_map.shape[1]])
    assert shown.any() and not shown[~kept].any()
