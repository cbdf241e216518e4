"""``dask worker --preload``: each worker has one core for itself, whatever threads it starts."""

from __future__ import annotations

import os

from distributed import Worker


def dask_setup(worker: Worker) -> None:
    """Called by the thread that starts all others, which keep to its core."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(str(worker.name)) % len(cores)]})
