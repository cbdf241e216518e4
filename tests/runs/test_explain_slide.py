"""explain_slide: what a complete run holds, and what bad input gets."""

import socket
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from ome_zarr_models.v05.image import Image
from small_runs import SPECS, explained
from torch import nn

from napari_smoothsal import (
    Compute,
    SaliencySpec,
    Tiling,
    explain_tiles,
    load_model,
    open_run,
)
from napari_smoothsal.core.errors import ModelError, SettingError, StoreError, TileReadError
from napari_smoothsal.models import Model
from napari_smoothsal.runs import computed
from napari_smoothsal.runs.saliency_pyramid import SaliencyPyramid
from napari_smoothsal.slides import ArraySlide


def test_a_complete_run(noisy, classifier, tmp_path: Path) -> None:
    seen = []
    run = explained(noisy, classifier, tmp_path / "case.zarr", progress=seen.append)
    assert run.status == "complete"
    assert list(run.maps) == [
        "layer1.original.gradient.tumour",
        "layer2.centred_hook.gradient.tumour",
        "layer2.centred_hook.activation_x_gradient.tumour",
    ]
    tiles = run.tiles
    assert (tiles.status == "done").all() and set(tiles.predicted) <= {"normal", "tumour"}
    assert np.allclose(tiles.p_normal + tiles.p_tumour, 1, atol=1e-5)
    for key, run_map in run.maps.items():
        assert np.isfinite(run_map.levels[0][: run_map.shape[0], : run_map.shape[1]]).all()
        assert tiles[f"tv_{key}"].gt(0).all() and tiles[f"se_{key}"].gt(0).all()
    assert run.maps["layer1.original.gradient.tumour"].spec == SPECS[0]
    assert seen[0].done == 0 and seen[-1].done == seen[-1].total == len(tiles)
    assert open_run(run.path).provenance["versions"]["torch"]
    root = zarr.open_group(run.path, mode="r")
    series = root["OME"].attrs["ome"]["series"]
    for path in series:
        Image.from_zarr(root[path])
    assert set(series) == {"overview", *(f"maps/{key}" for key in run.maps)}
    assert root.attrs["ome"]["bioformats2raw.layout"] == 3
    picture, scale, _ = run.overview
    assert picture.shape[2] == 3 and scale[0] > 0


@pytest.mark.parametrize("compute", [{"batch_size": 1}, {"batch_size": 7, "readers": 5}])
def test_batches_and_readers_do_not_matter(noisy, classifier, tmp_path: Path, compute) -> None:
    one = explained(noisy, classifier, tmp_path / "a.zarr", compute=Compute(precision="fp64"))
    two = explained(
        noisy, classifier, tmp_path / "b.zarr", compute=Compute(precision="fp64", **compute)
    )
    for key, run_map in one.maps.items():
        a, b = run_map.levels[0][:], two.maps[key].levels[0][:]
        assert np.nanmax(np.abs(a - b)) <= 1e-5 * np.nanmax(np.abs(a))


def test_a_slide_without_tissue_gives_an_empty_valid_store(classifier, tmp_path: Path) -> None:
    glass = ArraySlide([np.full((300, 300, 3), 243, np.uint8)], mpp=(0.5, 0.5))
    run = explained(glass, classifier, tmp_path / "glass.zarr", tiling=Tiling())
    assert run.status == "complete" and run.tiles.empty
    for run_map in run.maps.values():
        assert np.isnan(run_map.levels[0][:]).all() and run_map.largest_magnitude() == 0
    root = zarr.open_group(run.path, mode="r")
    for path in root["OME"].attrs["ome"]["series"]:
        Image.from_zarr(root[path])


def test_predictions_only(noisy, classifier, tmp_path: Path) -> None:
    run = explained(
        noisy, classifier, tmp_path / "p.zarr", specs=[], tiling=Tiling(tissue="all", min_tissue=0)
    )
    assert run.status == "complete" and not run.maps
    assert len(run.tiles) == -(-275 // 64) * -(-330 // 64)
    assert run.tiles.p_tumour.notna().all()


class Damaged(ArraySlide):
    """One region cannot be decoded."""

    def read_box(self, box, size, resampling="area"):
        if box.x <= 100 < box.x + box.w and box.y <= 100 < box.y + box.h:
            raise TileReadError("slide 'damaged': region at 100, 100 cannot be decoded")
        return super().read_box(box, size, resampling)


def test_an_unreadable_tile_is_nan_and_listed_and_the_rest_is_done(
    classifier, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    whole = ArraySlide([pixels], mpp=(0.5, 0.5))
    damaged = Damaged([pixels], mpp=(0.5, 0.5))
    good = explained(whole, classifier, tmp_path / "good.zarr")
    with pytest.warns(UserWarning, match="cannot be decoded"):
        run = explained(damaged, classifier, tmp_path / "bad.zarr")
    assert run.status == "complete_with_errors"
    failed = run.tiles.status == "failed"
    assert failed.any() and not failed.all()
    assert run.tiles[failed].p_tumour.isna().all()
    assert run.tiles[~failed].p_tumour.equals(good.tiles[~failed].p_tumour)
    level = run.maps["layer1.original.gradient.tumour"].levels[0][:]
    assert np.isnan(level[25, 25]) and np.isfinite(level[80, 80])


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.txt").write_text("years of work")
    with pytest.raises(StoreError, match="thesis"):
        explained(noisy, classifier, out)
    assert [p.name for p in out.iterdir()] == ["chapter1.txt"]
    file = tmp_path / "file.zarr"
    file.write_text("x")
    with pytest.raises(StoreError):
        explained(noisy, classifier, file)
    foreign = tmp_path / "foreign.zarr"
    zarr.create_group(foreign)
    with pytest.raises(StoreError):
        explained(noisy, classifier, foreign)
    with pytest.raises(StoreError, match="no saliency store"):
        open_run(foreign)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert explained(noisy, classifier, empty).status == "complete"


@pytest.mark.parametrize("region", [(5000, 0, 10, 10), (0, 0, 0, 10), (-50, -50, 20, 20)])
def test_a_region_off_the_slide(noisy, classifier, tmp_path: Path, region) -> None:
    with pytest.raises(SettingError, match="region"):
        explained(noisy, classifier, tmp_path / "s.zarr", region=region)
    assert not (tmp_path / "s.zarr").exists()
    assert list(tmp_path.iterdir()) == []


def test_no_thread_is_left_and_warnings_are_none(noisy, classifier, tmp_path: Path) -> None:
    import threading

    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        explained(noisy, classifier, tmp_path / "s.zarr", stop=lambda: True)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [t for t in threading.enumerate() if t not in before and "smoothsal" in t.name]
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(left)


def test_the_plan_is_told_before_anything_is_written(noisy, classifier, tmp_path: Path) -> None:
    out, seen = tmp_path / "s.zarr", []
    explained(noisy, classifier, out, on_plan=lambda p: seen.append((p, out.exists())))
    ((plan, existed),) = seen
    assert len(plan) == len(open_run(out).tiles) and not existed
    assert plan.tissue.share == 1


def test_a_cards_free_text_stays_out_of_the_store(noisy, classifier, tmp_path: Path) -> None:
    secret = "trained on C:/clinic/meier/patient_17.svs"
    card = classifier.card.model_copy(update={"notes": secret, "training_data": secret})
    run = explained(noisy, Model(classifier.module, card), tmp_path / "s.zarr")
    assert "patient_17" not in (run.path / "zarr.json").read_text()
    assert run.provenance["card"]["name"] == card.name


class InfiniteGradient(nn.Module):
    """Finite logits, infinite gradients where the image is white."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Conv2d(3, 2, 1)
        nn.init.ones_(self.low.weight)
        nn.init.zeros_(self.low.bias)

    def forward(self, x):
        return (3 - self.low(x)).abs().sqrt().mean((2, 3))


def test_tiles_whose_map_is_not_finite_are_failed_and_do_not_spoil_their_neighbours(
    classifier, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 200, (260, 260, 3), dtype=np.uint8)
    pixels[:30, :30] = 255
    card = classifier.card.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3})
    spec = SaliencySpec(layer="low", samples=0, denoising="original")
    with pytest.warns(UserWarning, match="not finite"):
        run = explained(
            ArraySlide([pixels], mpp=(0.5, 0.5)),
            Model(InfiniteGradient(), card),
            tmp_path / "s.zarr",
            specs=[spec],
        )
    assert run.status == "complete_with_errors"
    level = next(iter(run.maps.values())).levels[0][:]
    assert not np.isinf(level).any() and np.isfinite(level[120:250, 120:250]).all()
    with pytest.raises(ModelError, match="tile 0"):
        images = torch.ones(1, 3, 64, 64)
        explain_tiles(Model(InfiniteGradient(), card), images, spec)


def test_the_whole_slide_is_tiled_up_to_its_border(classifier, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (196, 196, 3), dtype=np.uint8)
    run = explained(ArraySlide([pixels], mpp=(0.5, 0.5)), classifier, tmp_path / "s.zarr")
    for run_map in run.maps.values():
        h, w = run_map.shape
        assert np.isfinite(run_map.levels[0][:h, :w]).all()


def test_a_slide_coarser_than_the_model_was_validated_on_is_told(
    classifier, tmp_path: Path
) -> None:
    card = classifier.card.model_copy(update={"input_mpp_range": (0.25, 0.5)})
    pixels = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match="validated from"):
        explained(
            ArraySlide([pixels], mpp=(0.55, 0.55)),
            Model(classifier.module, card),
            tmp_path / "s.zarr",
        )


def test_nothing_asks_the_network(noisy, classifier, tmp_path: Path, monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert load_model("demo-classifier").layers()
    assert explained(noisy, classifier, tmp_path / "s.zarr").status == "complete"


def test_one_thread_alone_uses_torch(noisy, classifier, tmp_path: Path, monkeypatch) -> None:
    # With OpenMP workers of a second one, all of them are put to sleep between two loops.
    seen: set[str] = set()

    def noted(plain):
        def called(*given):
            seen.add(threading.current_thread().name)
            return plain(*given)

        return called

    for owner, name in ((SaliencyPyramid, "values"), (computed, "total_variation")):
        monkeypatch.setattr(owner, name, noted(getattr(owner, name)))
    explained(noisy, classifier, tmp_path / "case.zarr", SPECS[:1])
    assert seen == {threading.current_thread().name}
