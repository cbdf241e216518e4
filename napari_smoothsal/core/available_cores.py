"""The processor cores that this process may use, not the machine's, and threads to compute with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OMP = "OMP_NUM_THREADS"
"""Variable of the environment by which a user says with how many threads to compute."""

_ROOT = Path("/")


def available_cores() -> int:
    """Return the cores that affinity and a container's quota leave, 1 or more."""
    cores = _affine_cores()
    quota = cgroup_cores(_ROOT)
    return cores if quota is None else min(cores, quota)


def compute_threads() -> int | None:
    """Return the threads that a quota leaves to compute with.

    None where there is no quota below the cores, or the user has set OMP_NUM_THREADS: the libraries
    then take as many as they would. They know of affinity, and not of quotas, beyond which the
    kernel halts all threads of a process for the rest of each period.
    """
    if OMP in os.environ:
        return None
    cores = available_cores()
    return cores if cores < _affine_cores() else None


def limit_compute_threads() -> None:
    """Have libraries that this process and its children load later keep to the quota.

    To be called before torch is imported, which reads the variable then.
    """
    threads = compute_threads()
    if threads is not None:
        os.environ[OMP] = str(threads)


def _affine_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
