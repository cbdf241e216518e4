"""Clusters of single-threaded workers on this machine, and what their tasks did."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

import napari_smoothsal as ss


@contextlib.contextmanager
def single_threaded(workers: int, *, pinned: bool = False) -> Iterator[tuple[Client, Tasks]]:
    """Start processes of one computing thread each; yields a client, and what is counted of tasks.

    Where ``pinned``, each has one core, so that reading and writing beside computing have no other.
    """
    pin = [str(Path(__file__).with_name("pin_preload.py"))] if pinned else []
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=None,
        silence_logs=logging.ERROR,
        preload=["napari_smoothsal.runs.at_worker", *pin],
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers, timeout=300)
        tasks = Tasks()
        cluster.scheduler.add_plugin(tasks)
        yield client, tasks


class Tasks(SchedulerPlugin):
    """Counts tasks by their kind, which is what stands before the key's first hyphen."""

    name = "counts-tasks"

    def __init__(self) -> None:
        self.given, self.ended, self.seconds = Counter[str](), Counter[str](), dict[str, Any]()
        self._since = dict[str, float]()

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        """See `SchedulerPlugin`; called in the scheduler's loop."""
        kind = str(key).partition("-")[0]
        if finish == "processing":
            self.given[kind] += 1
            self._since[key] = time.monotonic()
        elif start == "processing" and finish == "memory":
            self.ended[kind] += 1
            self.seconds.setdefault(kind, []).append(time.monotonic() - self._since.pop(key))


def cpu_s(client: Client) -> dict[str, float]:
    """Processor time of each worker's process so far."""
    return dict(client.run(time.process_time))


def load() -> float:
    """Of the machine in the last minute: what else runs is in it."""
    return round(os.getloadavg()[0], 2)


def assert_same_bits(one: Path, other: Path) -> int:
    """Compare all images of two stores bit for bit; returns the number of arrays."""
    images = [dict(_arrays(zarr.open_group(path / "maps", mode="r"))) for path in (one, other)]
    assert images[0].keys() == images[1].keys() and images[0], (one, other)
    for name, array in images[0].items():
        same = np.asarray(array[:]).tobytes() == np.asarray(images[1][name][:]).tobytes()
        assert same, f"{other.name}: {name} has other bits than in {one.name}"
    tables = [ss.open_run(path).tiles for path in (one, other)]
    assert tables[0].equals(tables[1]), f"{other.name}: the table of tiles is another one"
    return len(images[0])


def _arrays(group: zarr.Group, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, array in group.arrays():
        yield f"{prefix}{name}", array
    for name, inner in group.groups():
        yield from _arrays(inner, f"{prefix}{name}/")
