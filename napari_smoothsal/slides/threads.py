"""How many threads to read with: the processor cores this process may use, not the machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_THREADS = 8
"""More do not read a slide faster: format locks and the memory bus are the limit."""

_ROOT = Path("/")


def default_threads() -> int:
    """Return the cores that affinity and a container's quota leave, from 1 to 8."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_cores(_ROOT)
    if quota is not None:
        cores = min(cores, quota)
    return max(1, min(cores, MAX_THREADS))


def cgroup_cores(root: Path) -> int | None:
    """Return the cores that control groups leave a process; None where they set no limit.

    Parameters
    ----------
    root
        Of the file system that holds ``proc`` and ``sys``.

    Notes
    -----
    Version 2 has ``cpu.max`` ("<microseconds> <period>"), version 1 ``cpu.cfs_quota_us`` (-1: no
    limit) and ``cpu.cfs_period_us``. Groups are nested, and each that a process is in may limit
    it. In a container the process's group is often mounted as the root itself: folders that
    ``proc`` names and that are not there are passed over.
    """
    found = [_cores(folder) for folder in _groups(root)]
    return min((cores for cores in found if cores is not None), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of all groups that may limit this process's CPU time, whether there or not."""
    mounted = root / "sys/fs/cgroup"
    yield from (mounted, mounted / "cpu", mounted / "cpu,cpuacct", mounted / "unified")
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 names no controllers, and has a folder of its own where both are in use.
        homes = [mounted, mounted / "unified"]
        if controllers:
            homes = [mounted / controllers, mounted / "cpu"]
        parts = PurePosixPath(group).parts[1:]
        for depth in range(1, len(parts) + 1):
            yield from (home.joinpath(*parts[:depth]) for home in homes)


def _cores(folder: Path) -> int | None:
    return _quota(folder / "cpu.max") or _quota(
        folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
    )


def _quota(*files: Path) -> int | None:
    try:
        quota, period = (int(word) for word in " ".join(file.read_text() for file in files).split())
        return max(1, quota // period) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
