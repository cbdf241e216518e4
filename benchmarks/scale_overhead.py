"""What the client's loop, Dask's scheduler and the recording cost for each unit.

A part of `scale.py`. A slide is run in units once, as always. What it asked for is then asked for
again, ten thousand times and of workers that sleep instead of computing and hand back what the
unit handed back: all that is left is the loop of `Spread`, the scheduler, and what is sent.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from distributed import Client, LocalCluster
from scale_clusters import Tasks, load, single_threaded
from scale_speedup import LAYER, MODEL

import napari_smoothsal as ss
from napari_smoothsal.runs import handed_out
from napari_smoothsal.runs.cluster_workers import Workers
from napari_smoothsal.runs.crew import Order
from napari_smoothsal.runs.on_cluster import cluster_crew
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.runs.writer_lock import only_writer

CLUSTER_SIZES = (2, 16, 64)
"""Workers that the loop asks the scheduler about; they compute nothing."""


def overhead(path: Path, units: int, workers: int, sleeps_s: Sequence[float]) -> dict[str, Any]:
    """Seconds of the loop for each unit, over what the workers slept.

    Parameters
    ----------
    path
        Of the slide whose units are asked for.
    units
        How often a unit is asked for in all.
    workers
        Processes, of one thread each.
    sleeps_s
        How long a unit takes; 0 shows how many units a second the loop can hand out.
    """
    kept: dict[str, Any] = {"recording_s": [], "done": []}
    with single_threaded(2) as (client, tasks), tempfile.TemporaryDirectory() as temporary:
        real = _real_units(path, client, tasks, Path(temporary), kept)
    found = [
        _slept(path, kept, units if sleep_s else units // 4, workers, sleep_s)
        for sleep_s in sleeps_s
    ]
    return {"real": real, "slept": found, "asking_for_workers_s": _asking()}


def _real_units(
    path: Path, client: Client, tasks: Tasks, folder: Path, kept: dict[str, Any]
) -> dict[str, Any]:
    """Run a slide in units, and keep what was asked for and handed back."""
    units_of, record = Order.units, StoreWriter.record

    def cut(order: Order, workers: int = 1) -> Any:
        start = time.perf_counter()
        kept["units"] = units_of(order, workers)
        kept["cutting_s"] = time.perf_counter() - start
        kept["stage"] = order.stage
        return kept["units"]

    def recorded(writer: StoreWriter, done: Any) -> None:
        start = time.perf_counter()
        record(writer, done)
        kept["recording_s"].append(time.perf_counter() - start)
        kept["done"].append(done)

    model = ss.load_model(MODEL)
    spec = ss.SaliencySpec(layer=LAYER, samples=1)
    with (
        patch.object(Order, "units", cut),
        patch.object(StoreWriter, "record", recorded),
        cluster_crew(client, model, {}, path.stem) as crew,
    ):
        ss.explain_slide(path, model, [spec], folder / "real.zarr", crew=crew, progress=False)
    sizes = [len(pickle.dumps(done)) for done in kept["done"]]
    return {
        "tiles": len(kept["stage"]),
        "tiles_computed": sum(len(unit) for unit in kept["units"]),
        "units": len(kept["units"]),
        "unit_s": [round(s, 2) for s in tasks.seconds["explaining"]],
        "cutting_s": round(kept["cutting_s"], 4),
        "recording_s": [round(s, 4) for s in kept["recording_s"]],
        "handed_back_bytes": sizes,
    }


def _slept(
    path: Path, kept: dict[str, Any], units: int, workers: int, sleep_s: float
) -> dict[str, Any]:
    """Ask for units of workers that sleep."""
    real = kept["units"]
    asked = [real[i % len(real)] for i in range(units)]
    done = statistics.median_low([len(pickle.dumps(d)) for d in kept["done"]])
    handed = next(d for d in kept["done"] if len(pickle.dumps(d)) == done)
    sizes: list[int] = []

    class Writer(SimpleNamespace):
        def record(self, one: Any) -> None:
            sizes.append(len(one.tables))

    with (
        single_threaded(workers) as (client, tasks),
        tempfile.TemporaryDirectory() as temporary,
        only_writer(Path(temporary) / "asked.zarr"),
        ss.open_slide(path) as slide,
        cluster_crew(client, ss.load_model(MODEL), {}, "asked") as crew,
        _instead(client, handed, sleep_s),
        patch.object(Order, "units", lambda *_: asked),
    ):
        order = Order(
            stage=kept["stage"],
            slide=slide,
            writer=Writer(path=Path(temporary) / "asked.zarr"),  # type: ignore[arg-type]
            batch_size=16,
            readers=1,
            resampling="area",
            report=lambda _: None,
            stop=None,
        )
        start, cpu = time.perf_counter(), time.process_time()
        complete = crew.carry_out(order)
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        busy = len(crew._workers())
    assert complete and len(sizes) == units and busy == workers
    ideal = units * sleep_s / workers
    between_s = (seconds - ideal) * workers / units
    return {
        "units": units,
        "workers": workers,
        "sleep_s": sleep_s,
        "seconds": round(seconds, 2),
        "ideal_s": round(ideal, 2),
        "units_per_s": round(units / seconds, 1),
        "worker_waits_s_per_unit": round(between_s, 5),
        "client_and_scheduler_cpu_s_per_unit": round(used / units, 5),
        "overhead_of_this": round(seconds / ideal - 1, 4) if ideal else None,
        "overhead_of_units_of_s": {s: round(between_s / s, 5) for s in (1, 10, 60)},
        "handed_back_bytes": done,
        "tasks_ended": dict(tasks.ended),
        "load": load(),
    }


_HANDS_BACK: dict[str, Any] = {}
"""Of a worker's process: what its units hand back, and how long they take."""


def _prepare(done: Any, sleep_s: float) -> None:
    _HANDS_BACK.update(done=done, sleep_s=sleep_s)


def sleeping_unit(_token: str, _asked: Any) -> Any:
    """Stands in for `compute_unit`."""
    time.sleep(_HANDS_BACK["sleep_s"])
    return _HANDS_BACK["done"]


@contextlib.contextmanager
def _instead(client: Client, done: Any, sleep_s: float) -> Iterator[None]:
    client.run(_prepare, done, sleep_s)
    with patch.object(handed_out, "compute_unit", sleeping_unit):
        yield


def _asking() -> dict[str, float]:
    """Median seconds of asking which workers there are, which the loop does every two seconds."""
    found = {}
    for workers in CLUSTER_SIZES:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
        with cluster, Client(cluster) as client:
            times = []
            for _ in range(30):
                start = time.perf_counter()
                Workers(client, "")()
                times.append(time.perf_counter() - start)
        found[str(workers)] = round(statistics.median(times), 5)
    return found
