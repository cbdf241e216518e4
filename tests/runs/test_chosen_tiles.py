"""Predict first, explain what matters: two stages in one store."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import ALL, SPECS, arrays, assert_same_bits, explained, small_bands
from unets import small_segmenter

from napari_smoothsal import Compute, Tiling, explain_slide
from napari_smoothsal.core.errors import SettingError, StoreError, UnknownNameError
from napari_smoothsal.slides import ArraySlide

CPU = Compute(batch_size=3, device="cpu")


@pytest.fixture
def median(noisy, classifier, tmp_path: Path) -> float:
    """Half of the tiles have a higher probability of tumour."""
    run = explained(noisy, classifier, tmp_path / "predictions.zarr", predict_only=True)
    return float(run.tiles.p_tumour.median())


def test_chosen_tiles_have_the_maps_that_they_have_when_all_are_explained(
    noisy, classifier, median, tmp_path: Path
) -> None:
    fine = Compute(batch_size=3, device="cpu", precision="fp64")
    whole = explained(noisy, classifier, tmp_path / "all.zarr", compute=fine)
    where = f"p(tumour) > {median}"
    run = explained(noisy, classifier, tmp_path / "some.zarr", compute=fine, where=where)
    assert run.status == "complete"
    tiles, every = run.tiles, whole.tiles
    assert set(tiles.status) == {"done", "not_explained"}
    assert np.array_equal(tiles.status == "done", every.p_tumour > median)
    assert np.allclose(tiles.p_tumour, every.p_tumour, rtol=1e-6)
    assert (tiles.predicted == every.predicted).all()
    done = tiles.status == "done"
    for key, run_map in run.maps.items():
        assert np.allclose(tiles[f"tv_{key}"][done], every[f"tv_{key}"][done], rtol=1e-5)
        assert tiles[f"tv_{key}"][~done].isna().all()
        values, of_all = run_map.levels[0][:], whole.maps[key].levels[0][:]
        known = np.isfinite(values)
        assert known.any() and not known[np.isfinite(of_all)].all()
        (dy, dx), (ty, tx) = run_map.scale_um, run_map.translate_um
        # In the middle of an explained tile that no other reaches, nothing is blended.
        for tile in tiles[done].itertuples():
            y = (tile.y_px + tile.h_px / 2) * 0.5
            x = (tile.x_px + tile.w_px / 2) * 0.5
            row, column = round((y - ty) / dy), round((x - tx) / dx)
            if 0 <= row < run_map.shape[0] and 0 <= column < run_map.shape[1]:
                assert values[row, column] == pytest.approx(of_all[row, column], rel=1e-4)


def test_top_is_the_highest_probabilities_of_what_is_explained(
    noisy, classifier, tmp_path: Path
) -> None:
    run = explained(noisy, classifier, tmp_path / "top.zarr", top=4)
    done = run.tiles.status == "done"
    assert done.sum() == 4
    assert run.tiles.p_tumour[done].min() >= run.tiles.p_tumour[~done].max()


def test_nothing_chosen_is_a_complete_run_without_maps(noisy, classifier, tmp_path: Path) -> None:
    run = explained(noisy, classifier, tmp_path / "none.zarr", where="p(tumour) > 1")
    assert run.status == "complete" and set(run.tiles.status) == {"not_explained"}
    assert all(np.isnan(run_map.levels[0][:]).all() for run_map in run.maps.values())


def test_interrupted_anywhere_it_is_the_same(
    noisy, classifier, median, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    how = {"compute": CPU, "where": f"p(tumour) > {median}", "region": (0, 0, 200, 150)}
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", **how)
    batches = -(-len(straight.tiles) // 3) + -(-(straight.tiles.status == "done").sum() // 3)
    assert batches > 6
    for first in range(1, batches):
        out = tmp_path / f"{first}.zarr"
        asked = []

        def stop(asked=asked, first=first) -> bool:
            asked.append(True)
            return len(asked) >= 5 * first

        explained(noisy, classifier, out, **how, stop=stop)
        resumed = explained(noisy, classifier, out, **how)
        assert resumed.status == "complete"
        assert_same_bits(straight, resumed)


def test_another_choice_does_not_go_into_the_store(noisy, classifier, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    explained(noisy, classifier, out, where="p(tumour) > 0.5")
    for other in ({"where": "p(tumour) > 0.6"}, {}, {"where": "p(tumour) > 0.5", "top": 3}):
        with pytest.raises(StoreError, match="choice"):
            explained(noisy, classifier, out, **other)


def test_bad_choices_are_refused_before_anything_is_written(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    with pytest.raises(UnknownNameError, match="tumor"):
        explained(noisy, classifier, out, where="p(tumor) > 0.5")
    with pytest.raises(SettingError, match="top = 0"):
        explained(noisy, classifier, out, top=0)
    with pytest.raises(SettingError, match="no map is to be made"):
        explained(noisy, classifier, out, top=3, predict_only=True)
    assert not out.exists()


def test_a_model_that_decides_per_pixel_predicts_all_and_explains_some(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (260, 260, 3), dtype=np.uint8)
    slide = ArraySlide([pixels], mpp=(0.5, 0.5))
    model = small_segmenter("a", "b", "c")
    spec = SPECS[0].model_copy(update={"layer": model.layers()[2].name, "target": 0})
    how = {"tiling": Tiling(tissue="all", tile_px=64), "progress": False, "compute": CPU}
    whole = explain_slide(slide, model, [spec], tmp_path / "all.zarr", **how)
    run = explain_slide(slide, model, [spec], tmp_path / "some.zarr", **how, top=3)
    assert (run.tiles.status == "done").sum() == 3
    a, b = arrays(whole), arrays(run)
    for name in a:
        if name.startswith("prediction"):
            assert a[name].tobytes() == b[name].tobytes(), name
    (key,) = run.maps
    assert np.isfinite(a[f"maps/{key}/0"]).sum() > np.isfinite(b[f"maps/{key}/0"]).sum() > 0


def test_the_first_stage_makes_no_maps(noisy, classifier, tmp_path: Path, monkeypatch) -> None:
    passes = []
    backward = torch.autograd.grad

    def counted(*args, **kwargs):
        passes.append(True)
        return backward(*args, **kwargs)

    explained(noisy, classifier, tmp_path / "w.zarr", SPECS[:1], where="p(tumour) > 1")
    monkeypatch.setattr(torch.autograd, "grad", counted)
    stages = []
    explained(
        noisy,
        classifier,
        tmp_path / "s.zarr",
        SPECS[:1],
        where="p(tumour) > 1",
        tiling=ALL,
        progress=lambda p: stages.append((p.stage, len(passes))),
    )
    predicting = [n for stage, n in stages if stage == "predicting"]
    assert len(predicting) > 2 and predicting[0] == predicting[-1]
