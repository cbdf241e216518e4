"""only_writer: one process at a time writes into a store."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_smoothsal.core.errors import StoreError


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold a store for one process; the operating system lets go when the process dies.

    Where the file system knows no locks, a file that names the process stands for one; it is
    taken over where that process is gone.

    Raises
    ------
    StoreError
        If another process is writing into it; names that and its computer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file(path), blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"{writer_of(path) or 'another process'} is writing into {path.name!r}; wait for it, "
            "or choose another --out"
        ) from error
    # Beside the lock, which cannot be read on Windows while it is held.
    named = _name_file(path)
    try:
        with suppress(OSError):  # the lock is what counts
            named.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
        yield
    finally:
        # Removed while held, so that nobody else holds the file that goes.
        with suppress(OSError):
            named.unlink()
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def lock_file(path: Path) -> Path:
    """Beside a store, what is locked."""
    return path.with_name(f".{path.name}.lock")


def writer_of(path: Path) -> str | None:
    """Who wrote, or writes, into a store, in words; None where nobody said so."""
    try:
        said = json.loads(_name_file(path).read_text())
        return f"process {int(said['pid'])} on {said['host']!s}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _name_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.writer")
