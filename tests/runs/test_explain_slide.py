"""explain_slide: invariants of a run and its store, and what bad input gets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from ome_zarr_models.v05.image import Image
from torch import nn

from napari_smoothsal import (
    Compute,
    SaliencySpec,
    Tiling,
    explain_slide,
    explain_slides,
    explain_tiles,
    load_model,
    open_run,
    open_slide,
)
from napari_smoothsal.core.errors import ModelError, SettingError, StoreError, TileReadError
from napari_smoothsal.models import Model
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.pyramid import halved_extreme
from napari_smoothsal.slides import ArraySlide

ALL = Tiling(tissue="all")
SPECS = [
    SaliencySpec(layer="layer1", denoising="original", samples=2),
    SaliencySpec(layer="layer2", samples=2),
    SaliencySpec(layer="layer2", samples=2, method="activation_x_gradient"),
]


def explained(slide, model, out: Path, specs=SPECS, **settings) -> Run:
    settings = {"tiling": ALL, "progress": False, **settings}
    return explain_slide(slide, model, specs, out, **settings)


def arrays(run: Run) -> dict[str, np.ndarray]:
    root = zarr.open_group(run.path, mode="r")
    return {
        path: node[:] for path, node in root.members(max_depth=None) if isinstance(node, zarr.Array)
    }


def assert_same_bits(one: Run, two: Run) -> None:
    a, b = arrays(one), arrays(two)
    assert a.keys() == b.keys()
    for path, values in a.items():
        assert values.tobytes() == b[path].tobytes(), path


def test_a_complete_run(noisy, classifier, tmp_path: Path) -> None:
    seen = []
    run = explained(noisy, classifier, tmp_path / "case.zarr", progress=seen.append)
    assert run.status == "complete"
    assert list(run.maps) == [
        "layer1.original.gradient.tumour",
        "layer2.backward_hook.gradient.tumour",
        "layer2.backward_hook.activation_x_gradient.tumour",
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


def test_interrupted_anywhere_and_resumed_is_never_interrupted(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.layout.BAND", 16)
    for module in ("store", "writing"):
        monkeypatch.setattr(f"napari_smoothsal.runs.{module}.BAND", 16)
    monkeypatch.setattr("napari_smoothsal.runs.store.COARSEST_PX", 32)
    compute = Compute(batch_size=3, device="cpu")
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", compute=compute)
    batches = -(-len(straight.tiles) // 3)
    assert batches > 8
    for pieces in ([1, 1, 1], [batches // 2], [batches - 1], [2, 5]):
        out = tmp_path / f"pieces{len(pieces)}{pieces[0]}.zarr"
        for piece in pieces:
            left = iter(range(piece - 1, -1, -1))
            run = explained(
                noisy, classifier, out, compute=compute, stop=lambda left=left: next(left) == 0
            )
            if run.status == "complete":
                break
            assert run.status == "running"
        resumed = explained(noisy, classifier, out, compute=compute)
        assert resumed.status == "complete"
        assert_same_bits(straight, resumed)


KILLED = """
import sys, numpy as np, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
import conftest
from napari_smoothsal import *
from napari_smoothsal.runs import store, writing
store.BAND = writing.BAND = 16
store.COARSEST_PX = 32
pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
from napari_smoothsal.slides import ArraySlide
explain_slide(ArraySlide([pixels], mpp=(0.5, 0.5)), conftest.random_classifier(),
    [SaliencySpec(layer="layer1", samples=4)], {out!r}, tiling=Tiling(tissue="all"),
    compute=Compute(batch_size=2, device="cpu"), progress=lambda p: print(p.done, flush=True))
"""


def test_killed_and_resumed(classifier, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    code = {n: KILLED.format(tests=tests, out=str(tmp_path / f"{n}.zarr")) for n in ("a", "b")}
    subprocess.run([sys.executable, "-c", code["a"]], check=True, stdout=subprocess.DEVNULL)
    victim = subprocess.Popen([sys.executable, "-c", code["b"]], stdout=subprocess.PIPE, text=True)
    for line in victim.stdout:
        if int(line) >= 8:
            os.kill(victim.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            break
    victim.wait()
    killed = open_run(tmp_path / "b.zarr")
    assert killed.status == "running" and (killed.tiles.status == "done").sum() > 0
    subprocess.run([sys.executable, "-c", code["b"]], check=True, stdout=subprocess.DEVNULL)
    assert_same_bits(open_run(tmp_path / "a.zarr"), open_run(tmp_path / "b.zarr"))


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

    def read_box(self, box, size):
        if box.x <= 100 < box.x + box.w and box.y <= 100 < box.y + box.h:
            raise TileReadError("slide 'damaged': region at 100, 100 cannot be decoded")
        return super().read_box(box, size)


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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"specs": SPECS[:2]}, "specs"),
        ({"specs": [SPECS[0], SPECS[1], SPECS[2].model_copy(update={"seed": 9})]}, "seed was 0"),
        ({"tiling": Tiling(tissue="all", overlap=0.5)}, "overlap"),
        ({"region": (0, 0, 100, 100)}, "region"),
        ({"compute": Compute(precision="fp64")}, "precision"),
    ],
)
def test_another_run_does_not_go_into_the_store(
    noisy, classifier, tmp_path: Path, change, named
) -> None:
    out = tmp_path / "s.zarr"
    explained(noisy, classifier, out, stop=lambda: True)
    with pytest.raises(StoreError, match=named):
        explained(noisy, classifier, out, **change)


def test_another_slide_or_model_does_not_go_into_the_store(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    explained(noisy, classifier, out, stop=lambda: True)
    other = ArraySlide([255 - np.asarray(noisy._levels[0])], mpp=(0.5, 0.5))
    with pytest.raises(StoreError, match="fingerprint"):
        explained(other, classifier, out)
    classifier.module.fc.bias.data += 1
    del classifier.__dict__["parameters_sha256"]
    with pytest.raises(StoreError, match="parameters_sha256"):
        explained(noisy, classifier, out)


def test_a_finished_store_is_opened_and_nothing_is_computed(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    first = explained(noisy, classifier, out)
    stamp = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    calls = []
    again = explained(noisy, classifier, out, progress=calls.append)
    assert again.status == first.status == "complete" and calls == []
    assert stamp == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}


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


def test_an_error_on_the_way_leaves_a_failed_store_that_resumes(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"

    def broken(progress) -> None:
        if progress.done:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        explained(noisy, classifier, out, progress=broken)
    assert open_run(out).status == "failed"
    assert explained(noisy, classifier, out).status == "complete"


def test_a_batch_goes_on_after_a_slide_that_fails(
    real_slides: Path, classifier, tmp_path: Path
) -> None:
    text = tmp_path / "notes.svs"
    text.write_text("not a slide")
    results = explain_slides(
        [text, real_slides / "CMU-1-Small-Region.svs"],
        classifier,
        SPECS[:1],
        tmp_path / "out",
        region=(600, 900, 200, 200),
        progress=False,
    )
    assert results[0].run is None and "notes" in str(results[0].error)
    assert results[1].run.status == "complete"
    assert results[1].run.path.name == "CMU-1-Small-Region.smoothsal.zarr"


FORBIDDEN = (
    "svs", "dcm", "CMU", "aperio", "ScanScope", "b414003d", "Date", "User", "Filename",
    "Patient", "barcode", "label.", "macro",
)  # fmt: skip


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "CMU-1-Small-Region-dicom"])
def test_nothing_private_is_in_a_store(
    real_slides: Path, classifier, tmp_path: Path, name: str
) -> None:
    with open_slide(real_slides / name) as slide:
        run = explain_slide(
            slide,
            classifier,
            SPECS[:1],
            tmp_path / "case.zarr",
            region=(600, 900, 150, 150),
            progress=False,
        )
    assert run.status == "complete" and len(run.tiles)
    for file in run.path.rglob("*"):
        if file.is_file() and file.name == "zarr.json":
            text = file.read_text()
            for word in FORBIDDEN:
                assert word.lower() not in text.lower(), (word, file)
            assert str(real_slides) not in text and str(tmp_path) not in text
    json.dumps(run.provenance)


def test_svs_and_dicom_of_one_slide_give_nearly_the_same_map(
    real_slides: Path, classifier, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="layer2", samples=0, method="activation_x_gradient")
    maps = []
    for name in ("CMU-1-Small-Region.svs", "CMU-1-Small-Region-dicom"):
        run = explain_slide(
            real_slides / name,
            classifier,
            [spec],
            tmp_path / name,
            region=(600, 900, 300, 300),
            progress=False,
        )
        (run_map,) = run.maps.values()
        maps.append(np.nan_to_num(run_map.levels[0][:]).ravel())
    # Both are JPEG, one of them compressed twice: 3 grey values apart on average.
    assert np.corrcoef(*maps)[0, 1] > 0.8


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


def test_a_failure_between_levels_is_repaired_by_resuming(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    for module in ("store", "writing"):
        monkeypatch.setattr(f"napari_smoothsal.runs.{module}.BAND", 16)
    monkeypatch.setattr("napari_smoothsal.runs.store.COARSEST_PX", 32)
    compute = Compute(batch_size=3, device="cpu")
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", compute=compute)
    out, calls = tmp_path / "s.zarr", []

    def failing(values):
        calls.append(len(values))
        if len(calls) == 7:
            raise OSError(28, "No space left on device")
        return halved_extreme(values)

    with monkeypatch.context() as patched:
        patched.setattr("napari_smoothsal.runs.store.halved_extreme", failing)
        with pytest.raises(OSError, match="No space"):
            explained(noisy, classifier, out, compute=compute)
    assert open_run(out).status == "failed"
    assert_same_bits(straight, explained(noisy, classifier, out, compute=compute))


def outline(path: Path, x: int, y: int) -> str:
    ring = [[x, y], [x + 64, y], [x + 64, y + 64], [x, y + 64], [x, y]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return str(path)


def test_another_outline_of_the_same_size_does_not_go_into_the_store(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    one, two = outline(tmp_path / "a.geojson", 40, 40), outline(tmp_path / "b.geojson", 148, 112)
    first = explained(noisy, classifier, out, tiling=Tiling(tissue=one))
    assert not first.tiles.empty
    with pytest.raises(StoreError, match="origins"):
        explained(noisy, classifier, out, tiling=Tiling(tissue=two))
    for word in ("a.geojson", str(tmp_path)):
        assert word not in (out / "zarr.json").read_text()


def test_another_default_target_does_not_go_into_the_store(
    noisy, classifier, tmp_path: Path
) -> None:
    out = tmp_path / "s.zarr"
    explained(noisy, classifier, out)
    card = classifier.card.model_copy(update={"default_target": "normal"})
    with pytest.raises(StoreError, match="targets"):
        explained(noisy, Model(classifier.module, card), out)


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


def test_a_second_writer_is_refused(noisy, classifier, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    refused = []

    def second(progress) -> None:
        if progress.done and not refused:
            with pytest.raises(StoreError, match="another process"):
                explained(noisy, classifier, out)
            refused.append(True)

    assert explained(noisy, classifier, out, progress=second).status == "complete"
    assert refused and [p.name for p in tmp_path.iterdir()] == ["s.zarr"]


def test_any_error_of_one_slide_leaves_the_others(
    real_slides: Path, classifier, tmp_path: Path, monkeypatch
) -> None:
    calls = []
    explain = explain_slide

    def full_once(*args, **settings):
        calls.append(args)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return explain(*args, **settings)

    monkeypatch.setattr("napari_smoothsal.runs.batch.explain_slide", full_once)
    slide = real_slides / "CMU-1-Small-Region.svs"
    results = explain_slides(
        [slide, slide], classifier, [], tmp_path, region=(600, 900, 150, 150), progress=False
    )
    assert isinstance(results[0].error, OSError) and results[1].run.status == "complete"
    assert results[1].run.path.name == "CMU-1-Small-Region~2.smoothsal.zarr"


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
