"""A chunk whose file is gone is no result: each one is missed, told, and computed again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_runs import assert_same_bits, explained, small_bands
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, open_run
from napari_smoothsal.core.findings import anything_wrong
from napari_smoothsal.runs.store_check import examine_store, repair_store
from napari_smoothsal.runs.store_table import _is_decision

HOW = {"compute": Compute(batch_size=3, device="cpu")}
DENSE = [SaliencySpec(layer="deep", denoising="original", samples=2, target="t")]
FOR_GOOD = ("overview", "tiles/x_px", "tiles/y_px", "tiles/w_px", "tiles/h_px")
"""What no run writes again."""
MADE: dict[str, Path] = {}


@pytest.fixture
def done(noisy, tmp_path_factory, monkeypatch) -> Path:
    """A complete store of all that there is: maps, the class map, tiles that were chosen."""
    small_bands(monkeypatch, 50)
    if "done" not in MADE:
        out = tmp_path_factory.mktemp("lost") / "done.zarr"
        MADE["done"] = explained(noisy, small_segmenter(), out, DENSE, **HOW, top=3).path
    return MADE["done"]


@pytest.fixture
def other(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "hurt" / "hurt.zarr"))


def all_chunks(store: Path) -> list[Path]:
    return sorted(p for p in store.rglob("c/**/*") if p.is_file())


def as_of_older_version(store: Path) -> None:
    """Columns whose fill value is the 0 that zarr chose."""
    for metadata in store.glob("tiles/*/zarr.json"):
        described = json.loads(metadata.read_text())
        described["fill_value"] = 0
        metadata.write_text(json.dumps(described))


def unseen_if_gone(store: Path, every: int) -> list[str]:
    """Of each array's chunks the first, and then every so many: those that nobody misses."""
    unseen = []
    for array in sorted(p.parent for p in store.rglob("c") if p.is_dir()):
        for chunk in all_chunks(array)[::every]:
            content = chunk.read_bytes()
            chunk.unlink()
            if not anything_wrong(examine_store(store)):
                unseen.append(str(chunk.relative_to(store)))
            chunk.write_bytes(content)
    assert not anything_wrong(examine_store(store))
    # Decided anew, and the same, where a run needs it.
    return [one for one in unseen if one != "state/chosen/c/0"]


def test_the_first_chunk_of_each_array_is_missed(other: Path) -> None:
    assert unseen_if_gone(other, 10**6) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_chunk_that_is_gone_is_missed(other: Path) -> None:
    assert unseen_if_gone(other, 1) == []


@pytest.mark.slow
def test_each_column_that_is_gone_is_computed_again_or_told(
    noisy, done: Path, other: Path, monkeypatch
) -> None:
    for column in sorted(p.name for p in (done / "tiles").iterdir() if p.is_dir()):
        (other / "tiles" / column / "c" / "0").unlink()
        repaired = repair_store(other)
        if f"tiles/{column}" in FOR_GOOD:
            assert anything_wrong(repaired), column
            shutil.copy(done / "tiles" / column / "c" / "0", other / "tiles" / column / "c" / "0")
            continue
        assert not anything_wrong(repaired), (column, repaired)
        assert open_run(other).status == "running", column
        explained(noisy, small_segmenter(), other, DENSE, **HOW, top=3)
        assert_same_bits(open_run(done), open_run(other))


@pytest.mark.parametrize("column", ["p_0", "p_1", "status", "x_px", "w_px"])
def test_in_older_stores_zeros_contradict_what_else_is_known(
    column: str, noisy, done: Path, other: Path
) -> None:
    as_of_older_version(other)
    assert not anything_wrong(examine_store(other))
    (other / "tiles" / column / "c" / "0").unlink()
    assert anything_wrong(examine_store(other))
    repaired = repair_store(other)
    if f"tiles/{column}" in FOR_GOOD:
        assert anything_wrong(repaired)
        return
    assert not anything_wrong(repaired)
    explained(noisy, small_segmenter(), other, DENSE, **HOW, top=3)
    assert_same_bits(open_run(done), open_run(other))


def test_a_run_that_waits_to_go_on_is_not_called_well_and_repaired_at_once(other: Path) -> None:
    next(iter(sorted((other / "maps").glob("*/0/c/*/*")))).unlink()
    repaired = repair_store(other)
    names = {f.name for f in repaired if f.state == "repaired"}
    assert names == {"bands"}
    assert not [f for f in repaired if f.state == "ok" and f.name in {"bands", "status"}]
    assert not [f.what for f in repaired if "running" in f.what]


@pytest.mark.parametrize("content", [b"", b"no chunk"])
def test_damage_is_told_in_words(content: bytes, other: Path) -> None:
    (other / "tiles" / "p_0" / "c" / "0").write_bytes(content)
    chunk = sorted((other / "maps").glob("*/0/c/*/*"))[0]
    whole = bytearray(chunk.read_bytes())
    whole[len(whole) // 2] ^= 1
    chunk.write_bytes(whole)
    (said,) = [f.what for f in examine_store(other) if f.name == "chunks"]
    assert "checksum does not match" in said
    assert "Error" not in said and "b'" not in said


@pytest.mark.parametrize(
    ("given", "predicted", "dense", "right"),
    [
        ([0.3, 0.7], 1, False, True),
        ([0.3, 0.7], 0, False, False),
        ([0.0, 0.7], 1, False, False),
        ([0.5, 0.5], 0, False, True),
        ([0.5, 0.5], 1, False, True),
        ([0.9, 0.1], 1, True, True),  # few pixels, and none of another class but background
        ([0.9, 0.0], 0, True, False),
        ([1.0, 0.0], 1, True, False),
        ([0.7], 0, False, True),
        ([0.7], 1, False, False),
        ([0.0], 0, False, False),
        ([0.0], 1, False, True),
        ([0.01], 0, True, True),
        ([0.0], 0, True, False),
        ([0.7], 1, True, False),
    ],
)
def test_what_one_tile_can_say(given, predicted: int, dense: bool, right: bool) -> None:
    found = _is_decision(np.array([given]), np.array([predicted]), dense)
    assert found.tolist() == [right]
