"""What is lost where a worker is killed again and again.

A part of `scale.py`.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from distributed import Client
from scale_clusters import assert_same_bits, load, single_threaded
from scale_speedup import LAYER, MODEL

import napari_smoothsal as ss
from napari_smoothsal.runs.on_cluster import cluster_crew

WORKERS = 2
MOST_ERRORS = 5
"""Of one run, after which it is given up."""


def killed(path: Path, every_s: float, seconds: float, samples: int) -> dict[str, Any]:
    """Explain a slide in units on two workers, one of which is killed every so often, by turns.

    The command itself owns the store. A worker is killed only where another one is there: how
    long a new one takes to start is the machine's affair.

    Parameters
    ----------
    path
        Of the slide, explained again and again until the time is over; the last time to the end.
    every_s, seconds
        Between two kills, and of all of them.
    samples
        Noise samples of a map.

    Returns
    -------
    dict
        Units that were given to workers and those that ended: the difference is what was lost.
        The stores are compared bit for bit with that of one process.
    """
    spec, model = ss.SaliencySpec(layer=LAYER, samples=samples), ss.load_model(MODEL)
    runs: list[dict[str, Any]] = []
    with single_threaded(WORKERS) as (client, tasks), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        killer = _Killer(client, every_s, seconds)
        killer.start()
        while killer.is_alive():
            start, errors = time.perf_counter(), list[str]()
            store, status = folder / f"{len(runs)}.zarr", ""
            while status != "complete" and len(errors) < MOST_ERRORS:
                try:
                    with cluster_crew(client, model, {}, path.stem) as crew:
                        status = ss.explain_slide(
                            path, model, [spec], store, crew=crew, progress=False
                        ).status
                except Exception as error:  # noqa: BLE001 - it is what is asked about
                    errors.append(f"{type(error).__name__}: {error}"[:300])
            took = round(time.perf_counter() - start, 1)
            runs.append({"seconds": took, "status": status, "errors": errors})
        killer.join()
        given, ended = tasks.given["explaining"], tasks.ended["explaining"]
        ss.explain_slide(
            path, model, [spec], folder / "alone", compute=ss.Compute(readers=1), progress=False
        )
        complete = [n for n, run in enumerate(runs) if run["status"] == "complete"]
        arrays = [assert_same_bits(folder / "alone", folder / f"{n}.zarr") for n in complete]
    return {
        "every_s": every_s,
        "seconds": seconds,
        "kills": killer.kills,
        "runs": runs,
        "units_given": given,
        "units_ended": ended,
        "units_lost": given - ended,
        "unit_s": [round(s, 1) for s in tasks.seconds.get("explaining", [])],
        "runs_compared_bit_for_bit": len(arrays),
        "load": load(),
    }


class _Killer(threading.Thread):
    """Kills the processes of workers by turns; their nannies start others."""

    def __init__(self, client: Client, every_s: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._client, self._every_s, self._end = client, every_s, time.monotonic() + seconds
        self.kills = 0

    def run(self) -> None:
        """Until the time is over."""
        cluster: Any = self._client.cluster
        turn = 0
        while time.monotonic() + self._every_s < self._end:
            time.sleep(self._every_s)
            # Asked of this process: one that is killed at this moment would not answer.
            nannies = list(cluster.workers.values())
            if len(cluster.scheduler.workers) < WORKERS or len(nannies) < WORKERS:
                continue
            os.kill(nannies[turn % len(nannies)].pid, signal.SIGKILL)
            turn += 1
            self.kills += 1
