"""Damage of a store: found, told, and repaired so that the same run gives the same bits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from small_runs import assert_same_bits, explained, small_bands
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, open_run
from napari_smoothsal.core.findings import Finding, anything_wrong
from napari_smoothsal.runs.chunk_check import broken_chunks, find_damage
from napari_smoothsal.runs.durable_store import DurableStore
from napari_smoothsal.runs.store_check import examine_store, is_store, repair_store
from napari_smoothsal.runs.store_litter import stores_begun
from napari_smoothsal.runs.stored_images import stored_images
from napari_smoothsal.runs.writer_lock import only_writer

HOW = {"compute": Compute(batch_size=3, device="cpu")}
SPECS = [SaliencySpec(layer="layer1", samples=2), SaliencySpec(layer="layer2", samples=2)]
MADE: dict[str, Path] = {}
DENSE = [SaliencySpec(layer="deep", denoising="original", samples=2, target="t")]


def said(findings: tuple[Finding, ...], name: str, state: str = "wrong") -> str:
    """What findings of a name and state say, in one text."""
    return "; ".join(f.what for f in findings if (f.name, f.state) == (name, state))


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file()
    }


def chunks(store: Path, array: str) -> list[Path]:
    return sorted(p for p in (store / array / "c").rglob("*") if p.is_file())


def the_map(store: Path) -> str:
    return f"maps/{next(iter(open_run(store).maps))}"


@pytest.fixture
def done(noisy, classifier, tmp_path_factory, monkeypatch) -> Path:
    """A complete store with several bands and levels; made once, and only looked at."""
    small_bands(monkeypatch)
    if "done" not in MADE:
        out = tmp_path_factory.mktemp("done") / "done.zarr"
        MADE["done"] = explained(noisy, classifier, out, SPECS, **HOW).path
    return MADE["done"]


@pytest.fixture
def again(noisy, classifier):
    """The same run once more."""
    return lambda store: explained(noisy, classifier, store, SPECS, **HOW)


@pytest.fixture
def other(done: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(done, tmp_path / "hurt" / "hurt.zarr"))


def test_nothing_is_wrong_with_a_store_as_it_was_written(done: Path) -> None:
    before = files(done.parent)
    findings = examine_store(done)
    assert not anything_wrong(findings), findings
    assert {f.state for f in findings} == {"ok"}
    assert {f.name for f in findings} == {"status", "metadata", "tiles", "chunks", "bands"}
    assert files(done.parent) == before


def test_nothing_is_wrong_with_one_that_was_interrupted(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    stop = iter([False] * 5 + [True]).__next__
    store = explained(noisy, classifier, tmp_path / "s.zarr", SPECS, **HOW, stop=stop).path
    findings = examine_store(store)
    assert not anything_wrong(findings), findings
    assert "nobody writes" in said(findings, "writer", "note")
    assert "pending" in said(findings, "tiles", "ok")


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file: Path) -> None:
    """One bit of a chunk's values, in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


@pytest.mark.parametrize("hurt", [truncated, flipped, Path.unlink])
@pytest.mark.parametrize("array", ["0", "extreme/2"])
def test_a_damaged_chunk_is_found_and_the_same_run_brings_it_back(
    hurt, array: str, done: Path, other: Path, again
) -> None:
    whole = open_run(done)
    damaged = chunks(other, f"{the_map(other)}/{array}")
    hurt(damaged[len(damaged) // 2])
    before = files(other)
    assert anything_wrong(examine_store(other))
    assert files(other) == before, "looking wrote something"
    repaired = repair_store(other)
    assert not anything_wrong(repaired), repaired
    assert [f for f in repaired if f.state == "repaired"]
    assert_same_bits(whole, again(other))
    assert {f.state for f in examine_store(other)} == {"ok"}


def test_coarser_levels_are_made_again_without_a_run(done: Path, other: Path) -> None:
    truncated(chunks(other, f"{the_map(other)}/2")[1])
    truncated(chunks(other, f"{the_map(other)}/extreme/1")[2])
    repaired = repair_store(other)
    assert "made again from level 0" in said(repaired, "coarser levels", "repaired")
    assert open_run(other).status == "complete"
    assert_same_bits(open_run(done), open_run(other))


def test_only_what_touches_the_damage_is_computed_again(
    noisy, classifier, done: Path, other: Path
) -> None:
    truncated(chunks(other, f"{the_map(other)}/0")[0])
    repair_store(other)
    total, computed = len(open_run(done).tiles), []
    explained(noisy, classifier, other, SPECS, **HOW, progress=computed.append)
    assert 0 < total - computed[0].done < total / 2


@pytest.mark.parametrize("column", ["status", "p_1", "samples_1"])
def test_a_damaged_column_is_computed_again(column: str, done: Path, other: Path, again) -> None:
    truncated(chunks(other, f"tiles/{column}")[0])
    assert f"tiles/{column}" in said(examine_store(other), "chunks")
    assert "wait again" in said(repair_store(other), "tiles", "repaired")
    assert_same_bits(open_run(done), again(other))


@pytest.mark.parametrize("array", ["tiles/x_px", "overview/0"])
def test_what_no_run_writes_again_is_told_and_left(array: str, other: Path) -> None:
    truncated(chunks(other, array)[0])
    before = files(other)
    repaired = repair_store(other)
    assert array in said(repaired, "chunks") and files(other) == before
    assert "another --out" in next(f.remedy for f in repaired if f.name == "chunks")


def test_marks_of_bands_that_cannot_be_read(done: Path, other: Path, again) -> None:
    truncated(chunks(other, "state/rows_0")[0])
    assert "state/rows_0" in said(examine_store(other), "chunks")
    assert not anything_wrong(repair_store(other))
    assert_same_bits(open_run(done), again(other))


def test_a_whole_row_of_chunks_that_is_lost_with_its_coarser_ones(
    done: Path, other: Path, again
) -> None:
    for level in (other / the_map(other)).rglob("c"):
        shutil.rmtree(level)
    assert "show nothing where tiles are done" in said(examine_store(other), "bands")
    repair_store(other)
    assert_same_bits(open_run(done), again(other))


def edited(store: Path, array: str, place, value) -> None:
    zarr.open_group(store, mode="r+", use_consolidated=False)[array][place] = value


@pytest.mark.parametrize(
    ("column", "value"), [("status", 9), ("p_0", np.nan), ("p_1", 1.5), ("predicted", 7)]
)
def test_a_row_that_cannot_be_right_is_computed_again(
    column: str, value, done: Path, other: Path, again
) -> None:
    edited(other, f"tiles/{column}", 3, value)
    findings = examine_store(other)
    assert "first: row 3" in said(findings, "tiles")
    assert "1 tile(s) wait again" in said(repair_store(other), "tiles", "repaired")
    assert_same_bits(open_run(done), again(other))


def test_a_store_that_is_not_as_finished_as_it_says(done: Path, other: Path, again) -> None:
    edited(other, "tiles/status", 2, 0)
    edited(other, "state/rows_1", 0, 0)
    findings = examine_store(other)
    assert "1 wait in a store that calls itself complete" in said(findings, "tiles")
    assert "1 of" in said(findings, "bands")
    assert not anything_wrong(repair_store(other))
    assert open_run(other).status == "running"
    assert_same_bits(open_run(done), again(other))


def test_tiles_that_lie_elsewhere_than_planned(other: Path) -> None:
    edited(other, "tiles/x_px", 1, 7.0)
    assert "do not lie where the run planned" in said(examine_store(other), "tiles")
    assert "do not lie where the run planned" in said(repair_store(other), "tiles")


@pytest.mark.parametrize(
    ("hurt", "array"),
    [
        (truncated, "prediction/1"),
        (flipped, "prediction/0"),
        (Path.unlink, "prediction/labels/classes/0"),
    ],
)
def test_a_damaged_prediction_is_computed_again_also_where_tiles_were_chosen(
    hurt, array: str, noisy, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch, 50)
    model = small_segmenter()
    how = {**HOW, "top": 3}
    whole = explained(noisy, model, tmp_path / "s.zarr", DENSE, **how)
    assert {f.state for f in examine_store(whole.path)} == {"ok"}
    store = Path(shutil.copytree(whole.path, tmp_path / "b" / "s.zarr"))
    hurt(chunks(store, array)[2])
    assert anything_wrong(examine_store(store))
    assert not anything_wrong(repair_store(store))
    assert_same_bits(whole, explained(noisy, model, store, DENSE, **how))


def test_litter_is_told_and_swept_and_nothing_else(other: Path) -> None:
    beside = other.parent
    (other / the_map(other) / "0" / "c" / "x.123.partial").write_bytes(b"half")
    draft = beside / f".{other.name}.draft-abc"
    (draft / "store").mkdir(parents=True)
    (beside / f".{other.name}.lock").touch()
    (beside / f".{other.name}.writer").write_text(json.dumps({"pid": 1 << 30, "host": "elsewhere"}))
    not_ours = beside / f".{other.name}.draft-mine"
    not_ours.mkdir()
    (not_ours / "thesis.txt").write_text("mine")
    (beside / "notes.partial").write_text("mine")
    before = files(beside)
    assert "4 thing(s)" in said(examine_store(other), "litter", "note")
    assert files(beside) == before and draft.exists()
    repaired = repair_store(other)
    assert "4 thing(s)" in said(repaired, "litter", "repaired")
    assert not anything_wrong(repaired) and {f.name for f in examine_store(other)} >= {"chunks"}
    left = sorted(p.name for p in beside.iterdir())
    assert left == sorted([not_ours.name, "hurt.zarr", "notes.partial"])
    assert open_run(other).status == "complete"


def test_a_store_that_was_begun_and_never_came_to_be(tmp_path: Path) -> None:
    (tmp_path / ".case.smoothsal.zarr.draft-1" / "store").mkdir(parents=True)
    (tmp_path / ".case.smoothsal.zarr.lock").touch()
    (begun,) = stores_begun(tmp_path)
    assert begun.name == "case.smoothsal.zarr"
    assert "2 thing(s)" in said(repair_store(begun), "litter", "repaired")
    assert list(tmp_path.iterdir()) == []


HOLDING = """
import sys
from pathlib import Path
from napari_smoothsal.runs.writer_lock import only_writer
with only_writer(Path({store!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_writes_is_named_and_not_disturbed(other: Path) -> None:
    code = HOLDING.format(store=str(other))
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        findings = examine_store(other)
        assert f"process {holder.pid} on " in said(findings, "writer", "note")
        assert not said(findings, "litter", "note")
        with pytest.raises(Exception, match=f"process {holder.pid} on .* is writing"):
            repair_store(other)
    finally:
        holder.kill()
        holder.wait()
    assert "litter" in {f.name for f in examine_store(other)}
    assert not said(examine_store(other), "writer", "note")
    repair_store(other)
    assert os.listdir(other.parent) == [other.name]  # noqa: PTH208


def test_metadata_that_is_not_valid_or_is_gone(other: Path) -> None:
    group = other / the_map(other) / "zarr.json"
    told = json.loads(group.read_text())
    told["attributes"]["ome"]["multiscales"][0]["axes"] = []
    group.write_text(json.dumps(told))
    assert "no valid OME-Zarr" in said(examine_store(other), "metadata")
    (other / the_map(other) / "1" / "zarr.json").unlink()
    assert "array" in said(examine_store(other), "description")
    (other / "zarr.json").write_text("{")
    assert not is_store(other)
    other = other.rename(other.with_name("hurt.smoothsal.zarr"))
    assert is_store(other)
    before = files(other)
    assert "cannot be read" in said(examine_store(other), "description")
    assert said(repair_store(other), "description") and files(other) == before


@pytest.mark.parametrize("array", ["maps", "tiles/p_0", "state/rows_0", "overview/0"])
def test_any_flipped_bit_is_seen(array: str, other: Path) -> None:
    array = f"{the_map(other)}/0" if array == "maps" else array
    root = zarr.open_group(other, mode="r", use_consolidated=False)
    file = chunks(other, array)[0]
    content = file.read_bytes()
    for place in np.random.default_rng(0).integers(8 * len(content), size=60).tolist():
        hurt = bytearray(content)
        hurt[place // 8] ^= 1 << place % 8
        file.write_bytes(hurt)
        assert len(list(broken_chunks(root[array], array))) == 1, place


def test_levels_of_older_stores_that_have_no_checksums_are_compared(other: Path) -> None:
    """A chunk that decodes, to other values than were written."""
    edited(other, f"{the_map(other)}/0", (3, 5), 7.0)
    root = zarr.open_group(other, mode="r", use_consolidated=False)
    damage = find_damage(other, root, stored_images(root, list(open_run(other).maps)))
    assert not damage.broken and damage.contradicting == {(0, 0)}


def test_another_format_is_told(other: Path) -> None:
    told = json.loads((other / "zarr.json").read_text())
    told["attributes"]["smoothsal"]["format"] = 3
    (other / "zarr.json").write_text(json.dumps(told))
    assert "store format 3" in said(examine_store(other), "format")


def test_repairing_takes_the_lock(other: Path, tmp_path: Path) -> None:
    with only_writer(other), pytest.raises(Exception, match="is writing"):
        repair_store(other)


class Killed(BaseException):
    """No handler sees it: nothing is tidied up."""


def count_writes(monkeypatch, last: int | None) -> list[str]:
    """Names of what is written and removed from now on; ``last`` of them happen, then a kill."""
    seen: list[str] = []

    def counted(name: str) -> None:
        if len(seen) == last:
            raise Killed
        seen.append(name)

    put, unlink = DurableStore.set, Path.unlink

    async def set_one(store, key, value):
        counted(key)
        await put(store, key, value)

    def unlink_one(path, missing_ok=False):
        if ".zarr/" in str(path):
            counted(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(DurableStore, "set", set_one)
    monkeypatch.setattr(Path, "unlink", unlink_one)
    return seen


def test_a_repair_that_is_killed_anywhere_can_be_repeated(
    done: Path, other: Path, again, tmp_path: Path, monkeypatch
) -> None:
    for damaged in (f"{the_map(other)}/0", f"{the_map(other)}/extreme/2", "tiles/p_1"):
        truncated(chunks(other, damaged)[0])
    truncated(chunks(other, f"{the_map(other)}/2")[-1])
    whole = Path(shutil.copytree(other, tmp_path / "whole.zarr"))
    with monkeypatch.context() as patched:
        writes = count_writes(patched, None)
        repair_store(whole)
    assert len(writes) > 8
    for last in (1, len(writes) // 2, len(writes) - 1):
        store = Path(shutil.copytree(other, tmp_path / f"{last}.zarr"))
        with monkeypatch.context() as patched:
            count_writes(patched, last)
            with pytest.raises(Killed):
                repair_store(store)
        assert anything_wrong(examine_store(store)) or open_run(store).status == "running"
        assert not anything_wrong(repair_store(store))
        if last > 1:  # each takes a second
            assert_same_bits(open_run(done), again(store))
