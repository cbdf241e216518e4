"""What lies beside stores: ours is removed, what others call the same is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.store_check import repair_store
from napari_smoothsal.runs.store_litter import (
    is_ours,
    litter_of,
    stores_begun,
    sweep_drafts,
)
from napari_smoothsal.runs.writer_lock import only_writer

GROUP = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})


def tree(folder: Path) -> dict[str, str | None]:
    """Everything in a folder, with what files hold."""
    return {
        str(one.relative_to(folder)): one.read_text() if one.is_file() else None
        for one in folder.rglob("*")
    }


def written(file: Path, text: str = "mine") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def draft_of(path: Path, unique: str = "1") -> Path:
    """What is there of a store soon after its laying out began."""
    draft = path.with_name(f".{path.name}.draft-{unique}")
    written(draft / "store" / "zarr.json", GROUP)
    written(draft / "store" / "OME" / "zarr.json", GROUP)
    return draft


OTHERS = {
    "a draft of a text": (".thesis.draft-2/store/chapter1.txt", "mine"),
    "metadata of nobody": (".thesis.draft-2/store/zarr.json", "{}"),
    "another text beside metadata": (".thesis.draft-2/notes.txt", "mine"),
    "a writer in words": (".novel.writer", "Virginia Woolf"),
    "a writer in JSON": (".novel.writer", '{"pid": 1, "host": "h", "name": "Woolf"}'),
    "a list": (".novel.writer", "[1]"),
    "a lock": (".novel.lock", ""),
    "a file that never was a folder": (".thesis.draft-3", "mine"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_others_wrote_is_never_removed(what: str, tmp_path: Path) -> None:
    name, text = OTHERS[what]
    written(tmp_path / name, text)
    written(tmp_path / ".novel.lock", "")
    (tmp_path / ".thesis.draft-9").mkdir()  # may be anybody's
    before = tree(tmp_path)
    assert stores_begun(tmp_path) == []
    for store in ("thesis", "novel"):
        assert not is_ours(tmp_path / store) and not litter_of(tmp_path / store)
        with pytest.raises(StoreError, match="no store"):
            repair_store(tmp_path / store)
        sweep_drafts(tmp_path / "novel")
    assert tree(tmp_path) == before


def test_a_zarr_of_somebody_else_is_none_of_our_drafts(tmp_path: Path) -> None:
    draft = draft_of(tmp_path / "cells")
    written(draft / "store" / "nuclei" / "zarr.json", GROUP)
    before = tree(tmp_path)
    assert stores_begun(tmp_path) == [] and not litter_of(tmp_path / "cells")
    sweep_drafts(tmp_path / "cells")
    assert tree(tmp_path) == before


def test_stores_that_never_came_to_be_are_known_whatever_their_name(tmp_path: Path) -> None:
    written(tmp_path / ".writer_only.writer", '{"pid": 1, "host": "elsewhere"}')
    written(tmp_path / ".writer_only.lock", "")
    draft_of(tmp_path / "draft")
    (tmp_path / ".draft.draft-empty").mkdir()
    written(tmp_path / ".lock_only.smoothsal.zarr.lock", "")
    half = tmp_path / ".half.smoothsal.zarr.draft-1" / "store"
    written(half / "zarr.0123.partial", "{")
    names = [store.name for store in stores_begun(tmp_path)]
    assert names == ["draft", "half.smoothsal.zarr", "lock_only.smoothsal.zarr", "writer_only"]
    for store in stores_begun(tmp_path):
        (found,) = repair_store(store)
        assert found.state == "repaired"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["case[12].zarr", "case?.zarr", "case*.zarr", "case1"])
def test_drafts_of_other_stores_stay(name: str, tmp_path: Path) -> None:
    another = draft_of(tmp_path / "case1.zarr")
    of_a_longer_name = draft_of(tmp_path / f"{name}.draft-1", "2")
    mine = draft_of(tmp_path / name, "3")
    sweep_drafts(tmp_path / name)
    assert another.exists() and of_a_longer_name.exists() and not mine.exists()


def test_who_starts_a_run_leaves_what_others_wrote(tmp_path: Path) -> None:
    file = written(tmp_path / ".novel.writer", "Virginia Woolf")
    with only_writer(tmp_path / "novel"):
        assert file.read_text() == "Virginia Woolf"
    assert tree(tmp_path) == {".novel.writer": "Virginia Woolf"}
