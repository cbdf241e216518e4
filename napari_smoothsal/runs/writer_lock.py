"""only_writer: one process at a time writes into a store; and who that is, for all others."""

from __future__ import annotations

import errno
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, SoftFileLock, Timeout

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.lease import holder_of, leased
from napari_smoothsal.runs.places import Place, on_url
from napari_smoothsal.runs.process_name import ProcessName


@dataclass(frozen=True)
class Writer(ProcessName):
    """Who said to write into a store.

    Attributes
    ----------
    alive
        Whether it is there; None of another computer's, which cannot be asked.
    command
        Token of the command that several processes work for; empty where each is its own.
    """

    alive: bool | None
    command: str = ""


@contextmanager
def only_writer(path: Place, command: str = "") -> Iterator[None]:
    """Hold a store for one process; the operating system lets go when the process dies.

    Where the file system knows no locks, a file that names the process stands for one; it is
    taken over where that process is gone. A store is held under all of its names. On a URL it is
    held by a lease; see `leased`.

    Parameters
    ----------
    path
        Of the store, or of whatever else one process is to hold.
    command
        See `Writer`.

    Raises
    ------
    StoreError
        If another process is writing into it; names that and its computer.
    """
    if on_url(path):
        with leased(path, command):
            yield
        return
    lock, named = lock_file(path), name_file(path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    before = writer_of(path)
    held = FileLock(lock, blocking=False)
    try:
        held.acquire()
    except Timeout as error:
        raise _taken(path, writer_of(path)) from error
    if isinstance(held, SoftFileLock) and before is not None and before.alive is not False:
        # Without locks of the system, filelock before 4.1 takes what another process holds.
        held.release()
        raise _taken(path, before)
    try:
        # Beside the lock, which cannot be read on Windows while it is held.
        if is_name_file(named) or not named.exists():
            with suppress(OSError):  # the lock is what counts
                said = {"pid": os.getpid(), "host": platform.node()}
                named.write_text(json.dumps(said | ({"command": command} if command else {})))
        yield
    finally:
        # Removed while held. Who opened the file meanwhile finds it without a name once it gets
        # the lock, and gives up: filelock looks, from 3.20.4 on.
        with suppress(OSError):
            if is_name_file(named):
                named.unlink()
        with suppress(OSError):
            lock.unlink()
        held.release()


def lock_file(path: Path) -> Path:
    """Beside a store, what is locked."""
    path = path.resolve()
    return path.with_name(f".{path.name}.lock")


def name_file(path: Path) -> Path:
    """Beside a store, who writes into it."""
    path = path.resolve()
    return path.with_name(f".{path.name}.writer")


def is_name_file(file: Path) -> bool:
    """Whether a file says who writes, or was just begun; what others wrote is none of ours."""
    with suppress(OSError):
        return file.is_file() and (not file.stat().st_size or _said_in(file) is not None)
    return False


def writer_of(path: Place) -> Writer | None:
    """Who said to write into a store, and whether it lives; None where nobody did."""
    if on_url(path):
        holder = holder_of(path)
        return None if holder is None else Writer(holder.pid, holder.host, None, holder.command)
    said = _said_in(name_file(path))
    if said is None:
        return None
    pid, host, command = said
    alive = psutil.pid_exists(pid) if host == platform.node() else None
    return Writer(pid, host, alive, command)


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
    held, named = is_held(path), writer_of(path)
    if held is None:
        return named is None or named.alive is not False
    return held


def _said_in(file: Path) -> tuple[int, str, str] | None:
    """Process, computer and command that a file names; None where it is not of this program."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if said.keys() - {"command"} != {"pid", "host"}:
            return None
        return int(said["pid"]), str(said["host"]), str(said.get("command", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _taken(path: Path, writer: Writer | None) -> StoreError:
    return StoreError(
        f"{writer or 'another process'} is writing into {path.resolve().name!r}; wait for it, or "
        "choose another --out"
    )
