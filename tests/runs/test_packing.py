"""Shards at the end: fewer files, the same values, interrupted or not."""

import json
from pathlib import Path

import pytest
from ome_zarr_models.v05.image import Image
from small_runs import SPECS, assert_same_bits, explained, small_bands
from zarr import open_group

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs import packing
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


@pytest.mark.parametrize("at", ["create", "copy", "rename old", "rename new", "remove"])
def test_interrupted_packing_loses_nothing(
    noisy, classifier, tmp_path: Path, monkeypatch, at
) -> None:
    small_bands(monkeypatch)
    straight = explained(noisy, classifier, tmp_path / "a.zarr", SPECS[:1])
    victim = explained(noisy, classifier, tmp_path / "b.zarr", SPECS[:1])

    class Killed(BaseException):
        pass

    calls = []

    def dying(real, after):
        def call(*args, **kwargs):
            calls.append(at)
            if len(calls) > after:
                raise Killed
            return real(*args, **kwargs)

        return call

    place = {
        "create": (packing, "_blocks", 0),
        "copy": (packing.DurableStore, "settle", 0),
        "rename old": (Path, "rename", 0),
        "rename new": (Path, "rename", 1),
        "remove": (packing.shutil, "rmtree", 0),
    }[at]
    with monkeypatch.context() as patched:
        patched.setattr(place[0], place[1], dying(getattr(place[0], place[1]), place[2]))
        with pytest.raises(Killed):
            packing.pack_store(victim.path)
    packing.pack_store(victim.path)
    assert_same_bits(straight, victim)
    assert not [*victim.path.rglob("*.packed"), *victim.path.rglob("*.unpacked")]


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
