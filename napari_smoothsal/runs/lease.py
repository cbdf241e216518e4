"""Lease: one process at a time writes into a store on a URL, where nobody knows locks.

A lease is an object beside the store, ``.<store>.writer/<number>``, that was created where none of
its number was, which servers do for one process only. Its holder puts it anew every 20 s. Where
90 s have gone since, by the server's own clock, another process may create the next number, and
the holder, should it still live, finds that and stops. Clocks of machines are never compared.

Numbers decide: who creates one looks again at those below it, and who renews one looks for those
above. As each puts first and looks afterwards, one of two sees the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.places import Place, asked, no_bucket, read_whole, remove, write_whole
from napari_smoothsal.runs.process_name import ProcessName

if TYPE_CHECKING:
    from upath import UPath

RENEWED_S = 20.0
"""Between two renewals."""
SURE_S = 60.0
"""So long after a renewal nobody else can have taken the lease: no need to ask."""
LOST_S = 90.0
"""So long after a renewal another process may take it."""


@dataclass(frozen=True)
class Holder(ProcessName):
    """Who holds a lease.

    Attributes
    ----------
    numbered
        Where the process has this number: two containers may both be `host`, and count for
        themselves. Empty where the system does not say.
    token
        Of this one lease.
    command
        See `Writer`.
    """

    numbered: str
    token: str
    command: str = ""

    @property
    def dead(self) -> bool:
        """Whether it is known to be gone; of another computer's that cannot be known."""
        here = bool(self.numbered) and self.numbered == _numbering()
        return here and not psutil.pid_exists(self.pid)


class Lease:
    """One store, held; made by `leased`.

    Parameters
    ----------
    place
        URL of the store.
    file
        Of the lease, which this process has created.
    said
        What is in it.
    began
        When it was asked to be created, as of `_clocks`.
    """

    def __init__(self, place: UPath, file: UPath, said: bytes, began: tuple[float, float]) -> None:
        self._place, self._file, self._said = place, file, said
        self._renewed = began
        self._lost = ""
        self._one_at_a_time = threading.Lock()

    @property
    def in_doubt(self) -> bool:
        """Whether a write has to wait for `check`."""
        return bool(self._lost) or _since(self._renewed) > SURE_S

    def check(self) -> None:
        """Make sure that the store is held: at no cost, where it was renewed not long ago.

        Raises
        ------
        StoreError
            If another process has taken it, for good.
        UnreachableError
            If it could not be found out.
        """
        if not self._lost and self.in_doubt:
            self.renew()
        if self._lost:
            raise StoreError(
                f"{self._place.name!r} was taken over by {self._lost}, as this process did not "
                f"say for {LOST_S:g} s that it lives; nothing more is written into it from here. "
                "Wait for the other one"
            )

    def renew(self) -> None:
        """Say that this process lives, unless another one has taken the store.

        Raises
        ------
        UnreachableError
            If it could not be said.
        """
        with self._one_at_a_time:
            if self._lost:
                return
            began = _clocks()
            try:
                mine = read_whole(self._file) == self._said
            except FileNotFoundError:
                mine = False
            if mine:
                write_whole(self._file, self._said)
            others = [one for one in _leases(self._place) if one != self._file.name]
            # Who was held up in between may have put back what another had removed, and left.
            at_once = _since(self._renewed) < LOST_S or _since(began) < RENEWED_S
            if mine and not others and at_once:
                self._renewed = began
                return
            self._lost = _named_in(self._place, others)
            if mine:
                remove(self._file)

    def keep(self, ended: threading.Event) -> None:
        """Renew it until it has ended; what keeps it from that is told by `check`."""
        while not self._lost and not ended.wait(RENEWED_S):
            with suppress(OSError):
                self.renew()

    def give_back(self) -> None:
        """Let others write."""
        with self._one_at_a_time:
            if not self._lost:
                self._lost = "nobody"
                # Where that cannot be said any more, others wait until it is stale.
                with suppress(OSError):
                    remove(self._file)


_HELD: dict[str, Lease] = {}


def lease_of(place: Place) -> Lease | None:
    """The lease of a store, where this process holds one."""
    return _HELD.get(str(place))


@contextmanager
def leased(place: UPath, command: str = "") -> Iterator[None]:
    """Hold a store on a URL for this process.

    Parameters
    ----------
    place
        URL of the store.
    command
        See `Writer`.

    Raises
    ------
    StoreError
        If another process is writing into it; names that and its computer.
    UnreachableError
        If nobody answers there.
    """
    lease, ended = _taken(place, command), threading.Event()
    _HELD[str(place)] = lease
    keeper = threading.Thread(target=lease.keep, args=(ended,), name="smoothsal-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        del _HELD[str(place)]
        lease.give_back()


def holder_of(place: UPath) -> Holder | None:
    """Who holds a store, or held it last and did not give it back."""
    leases = _leases(place)
    return _said_in(_folder(place) / max(leases)) if leases else None


def refused(place: UPath, holder: Holder | None) -> StoreError:
    """The error for who comes second."""
    return StoreError(
        f"{holder or 'another process'} is writing into {place.name!r}; wait for it, or choose "
        f"another --out. One that was killed holds it for {LOST_S:g} s more"
    )


def _taken(place: UPath, command: str = "") -> Lease:
    holder = Holder(os.getpid(), platform.node(), _numbering(), uuid4().hex, command)
    said = json.dumps(asdict(holder)).encode()
    stale = _leases(place)
    _check_stale(place, stale)
    number = 1 + max((int(name) for name in stale), default=0)
    file = _folder(place) / f"{number:08d}"
    began = _clocks()
    with asked(place):
        try:
            file.fs.pipe_file(file.path, said, mode="create")
        except FileNotFoundError as error:
            raise no_bucket(place) from error
        except FileExistsError as error:
            # It may be this very one, whose first try was answered to nobody.
            if _content(file) != said:
                raise refused(place, _said_in(file)) from error
    others = {name: put for name, put in _leases(place).items() if name != file.name}
    if _content(file) != said or any(stale.get(name) != put for name, put in others.items()):
        remove(file)  # another one came at the same time, or awoke
        raise refused(place, holder_of(place))
    for name in others:
        remove(_folder(place) / name)
    return Lease(place, file, said, began)


def _check_stale(place: UPath, leases: dict[str, datetime]) -> None:
    """Refuse where one of the leases is alive."""
    asking = {name: _said_in(_folder(place) / name) for name in leases}
    unknown = {name: one for name, one in asking.items() if one is None or not one.dead}
    if not unknown:
        return
    # What time it is there is seen by what is put there now.
    probe = place.with_name(f".{place.name}.asked-{uuid4().hex}")
    write_whole(probe, b"")
    try:
        with asked(place):
            now = probe.fs.modified(probe.path)
    finally:
        remove(probe)
    for name, holder in unknown.items():
        if (now - leases[name]).total_seconds() < LOST_S:
            raise refused(place, holder)


def _leases(place: UPath) -> dict[str, datetime]:
    """The leases of a store, and when each was put last, by the server's clock."""
    folder = _folder(place)
    with asked(place):
        try:
            names = [str(one).rpartition("/")[2] for one in folder.fs.ls(folder.path, detail=False)]
        except FileNotFoundError:
            return {}
        found = {}
        for name in filter(str.isdigit, names):
            with suppress(FileNotFoundError):  # given back meanwhile
                found[name] = folder.fs.modified((folder / name).path)
        return found


def _folder(place: UPath) -> UPath:
    return place.with_name(f".{place.name}.writer")


def _content(file: UPath) -> bytes | None:
    with suppress(FileNotFoundError):
        return read_whole(file)
    return None


def _said_in(file: UPath) -> Holder | None:
    """Who wrote a lease; None where it is gone, or not of this program."""
    try:
        return Holder(**json.loads(_content(file) or b""))
    except (ValueError, TypeError):
        return None


def _named_in(place: UPath, names: list[str]) -> str:
    holder = _said_in(_folder(place) / max(names)) if names else None
    return str(holder or "another process")


def _clocks() -> tuple[float, float]:
    """Two clocks: one stands still while a machine sleeps, the other one may be set."""
    return time.monotonic(), time.time()


def _since(began: tuple[float, float]) -> float:
    """Seconds since then; too many where a clock was set, which costs one more renewal."""
    steady, wall = _clocks()
    return max(steady - began[0], abs(wall - began[1]))


@cache
def _numbering() -> str:
    """Where processes are numbered as here: this machine since it started, this container."""
    with suppress(OSError):
        started = Path("/proc/sys/kernel/random/boot_id").read_text()
        here = f"{started} {Path('/proc/self/ns/pid').readlink()}"
        return hashlib.sha256(here.encode()).hexdigest()
    return ""
