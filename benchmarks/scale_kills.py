"""What is lost where a worker is killed again and again.

A part of `scale.py`.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import Client
from scale_clusters import assert_same_bits, load, single_threaded
from scale_speedup import LAYER, MODEL

import napari_smoothsal as ss


def killed(slides: Sequence[Path], every_s: float, seconds: float, samples: int) -> dict[str, Any]:
    """Explain slides on two workers, one of which is killed every so often, by turns.

    Parameters
    ----------
    slides
        Explained one batch after the other until the time is over; the last one is finished.
    every_s, seconds
        Between two kills, and of all of them.
    samples
        Noise samples of a map.

    Returns
    -------
    dict
        Tasks that were given to workers and those that ended: the difference is what was lost.
        The stores are compared bit for bit with those of one process.
    """
    spec = ss.SaliencySpec(layer=LAYER, samples=samples)
    found: dict[str, Any] = {"batches": []}
    with single_threaded(2) as (client, tasks), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        killer = _Killer(client, every_s, seconds)
        killer.start()
        while killer.is_alive():
            number = len(found["batches"])
            start = time.perf_counter()
            results = ss.explain_slides(
                list(slides), MODEL, [spec], folder / str(number), client=client, progress=False
            )
            found["batches"].append(
                {
                    "seconds": round(time.perf_counter() - start, 1),
                    "states": [result.state for result in results],
                    "errors": [str(result.error)[:300] for result in results if result.error],
                }
            )
        killer.join()
        found |= {
            "kills": killer.kills,
            "tasks_given": dict(tasks.given),
            "tasks_ended": dict(tasks.ended),
            "tasks_lost": {kind: count - tasks.ended[kind] for kind, count in tasks.given.items()},
            "task_s": {kind: [round(s, 1) for s in all_s] for kind, all_s in tasks.seconds.items()},
            "load": load(),
        }
        arrays = 0
        compute = ss.Compute(readers=1)
        ss.explain_slides(
            list(slides), MODEL, [spec], folder / "alone", compute=compute, progress=False
        )
        for number, batch in enumerate(found["batches"]):
            for slide, state in zip(slides, batch["states"], strict=True):
                if state == "complete":
                    name = f"{slide.stem}.smoothsal.zarr"
                    arrays += assert_same_bits(folder / "alone" / name, folder / str(number) / name)
        found["arrays_compared_bit_for_bit"] = arrays
    return found


class _Killer(threading.Thread):
    """Kills the process of a worker, the longest living one first."""

    def __init__(self, client: Client, every_s: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._client, self._every_s, self._end = client, every_s, time.monotonic() + seconds
        self.kills = 0
        self._killed = set[int]()

    def run(self) -> None:
        """Until the time is over."""
        alive: list[int] = []
        while time.monotonic() + self._every_s < self._end:
            time.sleep(self._every_s)
            present = set(self._client.run(os.getpid, on_error="ignore").values()) - self._killed
            alive = [pid for pid in alive if pid in present] + sorted(present - set(alive))
            if alive:
                pid = alive.pop(0)
                os.kill(pid, signal.SIGKILL)
                self._killed.add(pid)
                self.kills += 1
