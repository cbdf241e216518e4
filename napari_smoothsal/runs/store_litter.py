"""What a process that was killed leaves in and beside a store, and whether one still writes.

Nothing here writes but `sweep_litter`, which removes only what this program names so itself.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from napari_smoothsal.runs.durable_store import sweep
from napari_smoothsal.runs.writer_lock import lock_file

PARTIAL = "*.partial"
_DRAFT = ".draft-"


@dataclass(frozen=True)
class Writer:
    """Who said to write into a store.

    Attributes
    ----------
    pid, host
        The process and its computer.
    alive
        Whether it is there; None of another computer's, which cannot be asked.
    """

    pid: int
    host: str
    alive: bool | None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def writer_named(path: Path) -> Writer | None:
    """Who said to write into a store, and whether it lives; None where nobody did."""
    try:
        said = json.loads(name_file(path).read_text(encoding="utf-8"))
        pid, host = int(said["pid"]), str(said["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    alive = psutil.pid_exists(pid) if host == platform.node() else None
    return Writer(pid, host, alive)


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock of a store; None where the system does not say.

    The lock's file is only looked at: where there is none, nobody holds it.
    """
    file = lock_file(path)
    if not file.exists():
        return False
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        # Shared, for an instant: it excludes nobody but who starts to write just then.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EAGAIN, errno.EACCES) else None
    finally:
        os.close(handle)
    return False


def is_written(path: Path) -> bool:
    """Whether a process writes into a store, as far as can be known; in doubt it does."""
    held, named = is_held(path), writer_named(path)
    if held is None:
        return named is None or named.alive is not False
    return held


def name_file(path: Path) -> Path:
    """Beside a store, who writes into it."""
    return path.with_name(f".{path.name}.writer")


def litter_of(path: Path) -> list[Path]:
    """What was left in and beside a store; only of one that nobody writes into."""
    inside = sorted(path.rglob(PARTIAL)) if path.is_dir() else []
    left = [file for file in (lock_file(path), name_file(path)) if file.exists()]
    return [*inside, *_drafts(path), *left]


def stores_begun(folder: Path) -> list[Path]:
    """Stores that were begun in a folder and never came to be: nothing but litter is there."""
    names = set()
    for entry in folder.glob(".*"):
        name = entry.name[1:]
        if _is_draft(entry):
            names.add(name.rpartition(_DRAFT)[0])
        elif entry.name.endswith(".writer") and (name := name.removesuffix(".writer")):
            names.add(name)
    return [folder / name for name in sorted(names) if name and not (folder / name).exists()]


def sweep_litter(path: Path) -> int:
    """Remove litter; only for who holds the store. Returns the number of things removed."""
    drafts = list(_drafts(path))
    for draft in drafts:
        shutil.rmtree(draft, ignore_errors=True)
    return len(drafts) + (sweep(path) if path.is_dir() else 0)


def _drafts(path: Path) -> Iterator[Path]:
    beside = path.parent.glob(f".{_literal(path.name)}{_DRAFT}*")
    return (entry for entry in beside if _is_draft(entry))


def _is_draft(entry: Path) -> bool:
    """Whether it is a store that was being laid out: a folder of ours holds that and no more."""
    if _DRAFT not in entry.name or not entry.is_dir() or entry.is_symlink():
        return False
    return {one.name for one in entry.iterdir()} <= {"store"}


def _literal(name: str) -> str:
    """A name in which nothing stands for anything else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
