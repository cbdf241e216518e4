"""Interrupted, killed, failed, repeated: what a store does when a run does not go straight."""

import copy
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import SPECS, arrays, assert_same_bits, explained, small_bands
from torch import nn

from napari_smoothsal import (
    Compute,
    SaliencySpec,
    Tiling,
    load_model,
    open_run,
    open_slide,
)
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.models import Model
from napari_smoothsal.runs.pyramid import halved_extreme
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.slides.sample import sample_slide_path


def test_interrupted_anywhere_and_resumed_is_never_interrupted(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    how = {"compute": Compute(batch_size=3, device="cpu"), "region": (0, 0, 230, 200)}
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", **how)
    batches = -(-len(straight.tiles) // 3)
    assert batches > 8
    for pieces in ([1, 1, 1], [batches // 2], [batches - 1], [2, 5]):
        out = tmp_path / f"pieces{len(pieces)}{pieces[0]}.zarr"
        for piece in pieces:
            left = iter(range(piece - 1, -1, -1))
            run = explained(noisy, classifier, out, **how, stop=lambda left=left: next(left) == 0)
            if run.status == "complete":
                break
            assert run.status == "running"
        resumed = explained(noisy, classifier, out, **how)
        assert resumed.status == "complete"
        assert_same_bits(straight, resumed)


def test_a_store_that_is_older_than_a_column_is_resumed(noisy, classifier, tmp_path: Path) -> None:
    out = tmp_path / "old.zarr"
    compute = Compute(batch_size=3, device="cpu")
    explained(noisy, classifier, out, compute=compute, stop=iter((False, True)).__next__)
    for column in (out / "tiles").glob("difference_*"):
        shutil.rmtree(column)
    resumed = explained(noisy, classifier, out, compute=compute)
    assert resumed.status == "complete"
    assert not [name for name in resumed.tiles.columns if name.startswith("difference")]


def test_a_failure_between_levels_is_repaired_by_resuming(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    compute = Compute(batch_size=3, device="cpu")
    straight = explained(noisy, classifier, tmp_path / "straight.zarr", compute=compute)
    out, calls = tmp_path / "s.zarr", []

    def failing(values):
        calls.append(len(values))
        if len(calls) == 7:
            raise OSError(28, "No space left on device")
        return halved_extreme(values)

    with monkeypatch.context() as patched:
        patched.setattr("napari_smoothsal.runs.saliency_pyramid.halved_extreme", failing)
        with pytest.raises(OSError, match="No space"):
            explained(noisy, classifier, out, compute=compute)
    assert open_run(out).status == "failed"
    assert_same_bits(straight, explained(noisy, classifier, out, compute=compute))


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
    with pytest.raises(StoreError, match=r"with other settings.*fingerprint"):
        explained(other, classifier, out)
    classifier.module.fc.bias.data += 1
    del classifier.__dict__["parameters_sha256"]
    with pytest.raises(StoreError, match=r"another model \('random'\).*parameters_sha256"):
        explained(noisy, classifier, out)


class Decides(nn.Module):
    """A small network whose weights do not say what it does."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 8, 3, 2, 1), act, nn.Linear(8, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.act(self.conv(images)).mean((2, 3)))


def test_another_network_of_the_same_weights_does_not_go_into_the_store(
    noisy, classifier, tmp_path: Path
) -> None:
    card = classifier.card.model_copy(update={"architecture": None})
    one, two = Decides(nn.ReLU()).eval(), Decides(nn.LeakyReLU(0.5)).eval()
    two.load_state_dict(one.state_dict())
    out, specs = tmp_path / "s.zarr", [SaliencySpec(layer="conv", samples=1)]
    explained(noisy, Model(one, card), out, specs, stop=lambda: True)
    with pytest.raises(StoreError, match="code_sha256"):
        explained(noisy, Model(two, card), out, specs)
    assert explained(noisy, Model(copy.deepcopy(one), card), out, specs).status == "complete"


def test_what_older_stores_do_not_say_of_a_network_is_not_asked(
    noisy, classifier, tmp_path: Path
) -> None:
    card = classifier.card.model_copy(update={"architecture": None})
    model = Model(Decides(nn.ReLU()).eval(), card)
    out, specs = tmp_path / "s.zarr", [SaliencySpec(layer="conv", samples=1)]
    explained(noisy, model, out, specs, stop=lambda: True)
    told = json.loads((out / "zarr.json").read_text())
    del told["attributes"]["smoothsal"]["identity"]["model"]["code_sha256"]
    (out / "zarr.json").write_text(json.dumps(told))
    assert explained(noisy, model, out, specs).status == "complete"


def test_a_smaller_batch_on_resuming_makes_smaller_passes_and_the_same_maps(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    straight = explained(noisy, classifier, tmp_path / "a.zarr", compute=Compute(batch_size=4))
    out, rows = tmp_path / "b.zarr", []
    explained(noisy, classifier, out, compute=Compute(batch_size=4), stop=lambda: True)
    output = Network.output

    def counted(self, images, n=None):
        rows.append(len(images))
        return output(self, images, n)

    monkeypatch.setattr(Network, "output", counted)
    for _ in range(2):
        run = explained(noisy, classifier, out, compute=Compute(batch_size=1))
    assert set(rows) == {1}
    assert [f["rows_per_pass"] for f in run.provenance["fallbacks"]] == [1]
    found, wanted = arrays(run), arrays(straight)
    for path in (path for path in wanted if path.startswith("maps") and "extreme" not in path):
        largest = np.nanmax(np.abs(wanted[path]))
        np.testing.assert_allclose(found[path], wanted[path], atol=1e-5 * largest)


def test_stopped_before_colours_are_measured_they_are_on_resuming(tmp_path: Path) -> None:
    how = {"region": (1000, 1200, 400, 400), "specs": [SaliencySpec(layer="layer3", samples=1)]}
    with sample_slide_path() as path, open_slide(path) as slide:
        begun = explained(
            slide, load_model("demo-classifier"), tmp_path / "a.zarr", **how, stop=lambda: True
        )
        assert [one.normal_magnitude for one in begun.maps.values()] == [None]
        resumed = explained(slide, load_model("demo-classifier"), tmp_path / "a.zarr", **how)
        straight = explained(slide, load_model("demo-classifier"), tmp_path / "b.zarr", **how)
    assert [one.normal_magnitude for one in straight.maps.values()] != [None]
    assert_same_bits(straight, resumed)


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


def test_a_second_writer_is_refused(noisy, classifier, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    refused = []

    def second(progress) -> None:
        if progress.done and not refused:
            with pytest.raises(StoreError, match=rf"process {os.getpid()} on .* is writing"):
                explained(noisy, classifier, out)
            refused.append(True)

    assert explained(noisy, classifier, out, progress=second).status == "complete"
    assert refused and [p.name for p in tmp_path.iterdir()] == ["s.zarr"]


def test_where_even_the_status_cannot_be_written_the_first_error_is_told(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    def broken(progress) -> None:
        if progress.done:
            monkeypatch.setattr(StoreWriter, "set_status", full)
            raise RuntimeError("the cause")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RuntimeError, match="the cause"):
        explained(noisy, classifier, tmp_path / "s.zarr", progress=broken)
