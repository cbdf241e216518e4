"""How many threads to read with: the processor cores this process may use, not the machine's."""

from __future__ import annotations

import os
from pathlib import Path

MAX_THREADS = 8
"""More do not read a slide faster: format locks and the memory bus are the limit."""

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """Return the cores that affinity and a container's quota leave, from 1 to 8."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_cores(_CGROUP_V2)
    if quota is not None:
        cores = min(cores, quota)
    return max(1, min(cores, MAX_THREADS))


def cgroup_cores(path: Path) -> int | None:
    """Return a cgroup v2 quota (``"<microseconds> <period>"``) in cores; None without one."""
    try:
        quota, period = path.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
