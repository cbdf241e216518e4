"""What a process that was killed leaves in and beside a store.

Nothing here writes but `sweep_litter` and `sweep_drafts`. They remove only what this program made:
a name alone proves nothing, for others may use it, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from napari_smoothsal.runs.durable_store import partial_files, sweep
from napari_smoothsal.runs.layout import PREDICTION, SUFFIX, own_attributes
from napari_smoothsal.runs.packing import left_over, remove_left_over
from napari_smoothsal.runs.writer_lock import is_name_file, lock_file, name_file, writer_of

DRAFT = ".draft-"
"""Between the name of a store that is being laid out and what makes its folder unique."""

_METADATA = "zarr.json"
_NODES = {_METADATA, "OME", "overview", "maps", PREDICTION, "tiles", "state"}
"""Of a store's root."""


def is_ours(path: Path) -> bool:
    """Whether a path is known to hold a store of this program, or one that never came to be.

    A store that is not there is known by the suffix that stores have, by the file that says who
    wrote it, or by a draft of it.
    """
    if path.exists():
        return own_attributes(path) is not None
    return (
        path.name.endswith(SUFFIX)
        or writer_of(path) is not None
        or any(_is_laid_out(draft) for draft in _beside(path))
    )


def litter_of(path: Path) -> list[Path]:
    """What was left in and beside a store of ours; only of one that nobody writes into."""
    if not is_ours(path):
        return []
    inside = sorted(partial_files(path)) + left_over(path) if path.is_dir() else []
    left = [file for file in (lock_file(path),) if file.is_file()]
    left += [file for file in (name_file(path),) if is_name_file(file)]
    return [*inside, *_drafts(path), *left]


def stores_begun(folder: Path) -> list[Path]:
    """Stores that were begun in a folder and never came to be: nothing but litter is there."""
    names = set()
    for entry in folder.glob(".*"):
        for end in (".writer", ".lock"):
            if entry.name.endswith(end):
                names.add(entry.name[1:].removesuffix(end))
        if DRAFT in entry.name:
            names.add(_drafted(entry))
    begun = [folder / name for name in sorted(names) if name]
    return [path for path in begun if not path.exists() and litter_of(path)]


def sweep_litter(path: Path) -> None:
    """Remove what lies in a store and its drafts; only for who holds the store.

    The lock's file, and that which names the writer, go with the lock.
    """
    sweep_drafts(path)
    if path.is_dir():
        sweep(path)
        remove_left_over(path)


def sweep_drafts(path: Path) -> None:
    """Remove what was laid out of a store and never got its place; only for who holds it."""
    for draft in list(_drafts(path)):
        shutil.rmtree(draft, ignore_errors=True)


def _drafts(path: Path) -> Iterator[Path]:
    """Folders of a store of ours that was being laid out; a process may die before it begins."""
    return (entry for entry in _beside(path) if _is_laid_out(entry) or _is_empty(entry))


def _beside(path: Path) -> Iterator[Path]:
    """What has the name of a draft of a store."""
    return (
        entry
        for entry in path.parent.glob(f".*{DRAFT}*")
        if _drafted(entry) == path.name and entry.is_dir() and not entry.is_symlink()
    )


def _drafted(entry: Path) -> str:
    """Name of the store that a draft is of."""
    return entry.name[1:].rpartition(DRAFT)[0]


def _is_laid_out(draft: Path) -> bool:
    """Whether a draft holds the beginning of a store, and nothing else."""
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        if [one.name for one in draft.iterdir()] != ["store"]:
            return False
        root = draft / "store"
        if not {one.name for one in root.iterdir() if not _is_half(one)} <= _NODES:
            return False
        told = json.loads((root / _METADATA).read_text(encoding="utf-8"))
        return bool(told.get("zarr_format") == 3 and told.get("node_type") == "group")
    return False


def _is_empty(draft: Path) -> bool:
    """Whether there is no file in a draft yet but a half one of the root's metadata."""
    with suppress(OSError):
        return all(
            one == draft / "store" if one.is_dir() else _is_half(one) for one in draft.rglob("*")
        )
    return False


def _is_half(file: Path) -> bool:
    """Whether zarr was writing the root's metadata into it."""
    return file.name.startswith("zarr.") and file.name.endswith(".partial") and file.is_file()
