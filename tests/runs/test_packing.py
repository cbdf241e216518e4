"""Shards at the end: fewer files, the same values, interrupted or not."""

import json
import shutil
from pathlib import Path

import pytest
from ome_zarr_models.v05.image import Image
from small_runs import SPECS, assert_same_bits, explained, small_bands
from zarr import open_group

from napari_smoothsal import open_run
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs import packing
from napari_smoothsal.runs.durable_store import sweep
from napari_smoothsal.runs.store_check import examine_store, repair_store


def files(path: Path) -> int:
    return sum(1 for file in (path / "maps").rglob("*") if file.is_file())


def test_a_packed_store_holds_the_same_in_fewer_files(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    loose = explained(noisy, classifier, tmp_path / "loose.zarr")
    packed = explained(noisy, classifier, tmp_path / "packed.zarr", pack=True)
    assert files(packed.path) < files(loose.path) / 2
    assert_same_bits(loose, packed)
    (first, *_) = packed.maps
    Image.from_zarr(open_group(packed.path / "maps" / first, mode="r"))
    level = packed.maps[first].levels[0]
    assert level.shards is not None and level.metadata.dimension_names == ("y", "x")
    assert explained(noisy, classifier, tmp_path / "packed.zarr", pack=True).status == "complete"
    # One that is there already is packed on request, and nothing is computed for it.
    assert_same_bits(packed, explained(noisy, classifier, loose.path, pack=True))
    assert files(loose.path) == files(packed.path)


class Killed(BaseException):
    """No handler sees it: nothing is tidied up."""


STEPS = {
    "create": (packing, "_blocks", 0),
    "copy": (packing.DurableStore, "settle", 0),
    "rename old": (Path, "rename", 0),
    "rename new": (Path, "rename", 1),
    "remove": (packing.shutil, "rmtree", 0),
}


def killed_while_packing(store: Path, monkeypatch, at: str) -> None:
    """Pack a store, and die at a step of its first array."""
    place, name, after = STEPS[at]
    real, calls = getattr(place, name), []

    def call(*args, **kwargs):
        calls.append(name)
        if len(calls) > after:
            raise Killed
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(place, name, call)
        with pytest.raises(Killed):
            packing.pack_store(store)


@pytest.mark.parametrize("at", STEPS)
def test_interrupted_packing_loses_nothing(
    noisy, classifier, tmp_path: Path, monkeypatch, at
) -> None:
    small_bands(monkeypatch)
    straight = explained(noisy, classifier, tmp_path / "a.zarr", SPECS[:1])
    killed = Path(shutil.copytree(straight.path, tmp_path / "b.zarr"))
    killed_while_packing(killed, monkeypatch, at)
    told = [finding for finding in examine_store(killed) if finding.state != "ok"]
    assert [f.state for f in told if f.name == "packing"] == ["wrong"] * (at == "rename new")
    assert all("--repair" in f.remedy for f in told) and told
    ways = {
        "packed again": packing.pack_store,
        "the same command": lambda store: explained(noisy, classifier, store, SPECS[:1]),
        "repaired": repair_store,
    }
    for name, way in ways.items():
        victim = Path(shutil.copytree(killed, tmp_path / f"{name}.zarr"))
        way(victim)
        assert_same_bits(straight, open_run(victim))
        assert not [*victim.rglob("*.packed"), *victim.rglob("*.unpacked")], name
        assert {f.state for f in examine_store(victim)} == {"ok"}, name


def test_a_map_that_is_called_like_litter_is_none(tmp_path: Path) -> None:
    """Keys end with the name of a class."""
    for name in ("a.packed", "a.unpacked", "a.partial"):
        (tmp_path / "maps" / name / "0" / "c").mkdir(parents=True)
    assert packing.restore(tmp_path) == 0 and sweep(tmp_path) == 0
    assert len(list((tmp_path / "maps").iterdir())) == 3


def test_an_unfinished_store_is_not_packed(noisy, classifier, tmp_path: Path) -> None:
    run = explained(noisy, classifier, tmp_path / "s.zarr", stop=lambda: True, pack=True)
    assert json.loads((run.path / "zarr.json").read_text())["attributes"]["smoothsal"]["status"]
    assert run.status == "running"
    with pytest.raises(StoreError, match="no complete store"):
        packing.pack_store(run.path)


def test_a_damaged_shard_is_found_and_made_again(
    noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    straight = explained(noisy, classifier, tmp_path / "a.zarr", SPECS[:1], pack=True)
    victim = explained(noisy, classifier, tmp_path / "b.zarr", SPECS[:1], pack=True)
    (shard, *_) = (file for file in (victim.path / "maps").rglob("0/c/0/0") if file.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 4
    shard.write_bytes(content)
    wrong = [finding for finding in examine_store(victim.path) if finding.state == "wrong"]
    assert wrong, "the flipped bit was not seen"
    repair_store(victim.path)
    assert victim.status == "running"
    assert not [f for f in examine_store(victim.path) if f.state == "wrong"]
    again = explained(noisy, classifier, victim.path, SPECS[:1], pack=True)
    assert again.status == "complete"
    assert_same_bits(straight, again)
