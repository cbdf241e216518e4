"""How much memory a run takes, and how long each tile takes, on a small and on a large slide.

A part of `slide.py`. Each run has a process of its own, which starts with torch and the model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from large_slide import large_slide

MPP = 0.25
"""Of the slides: a model at 0.5 um sees a fourth of their pixels, so that runs end in minutes."""

METHOD = "activation"

SETTLED = 0.1
"""Share of a run after which its pace is taken: nothing is made ready any more."""


def memory_and_pace(
    folder: Path, sides: list[int], layer: str, most_tiles: int | None
) -> dict[str, Any]:
    """Peak memory and seconds per tile of a demo-classifier run, by the slide's side.

    Parameters
    ----------
    folder
        Of the slides, which are made where they are not there yet.
    sides
        Of the slides, px.
    layer
        Of the map: its activations, the cheapest map that there is, so that reading, stitching
        and writing weigh as much as they can.
    most_tiles
        After so many a run is stopped, and its peak is that of its beginning; None: never.
    """
    found: dict[str, Any] = {}
    for side in sides:
        slide = made(folder, side)
        command = [sys.executable, __file__, str(slide), layer, str(most_tiles or 0)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[f"{side}_px"] = json.loads(done.stdout.splitlines()[-1])
    small, large = (found[f"{side}_px"] for side in (sides[0], sides[-1]))
    return {
        "layer": layer,
        "method": METHOD,
        "slide_mpp": MPP,
        "stopped_after_tiles": most_tiles,
        **found,
        "beyond_large_over_small": round(large["beyond_mb"] / small["beyond_mb"], 3),
        **{
            f"{name}_large_over_small": round(large[name] / small[name], 3)
            for name in ("ms_per_tile", "cpu_ms_per_tile")
        },
    }


def made(folder: Path, side: int) -> Path:
    """A slide of so many px, 40 % tissue."""
    path = folder / f"large_{side}.tif"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        large_slide(part, side, mpp=MPP)
        part.rename(path)
    return path


def one_run(slide: Path, layer: str, most_tiles: int) -> dict[str, Any]:
    """Run in this process, and what it took."""
    import torch

    import napari_smoothsal as ss
    from napari_smoothsal.core.freed_memory import keep_freed_memory

    keep_freed_memory()  # as the command does
    warnings.simplefilter("ignore")  # nuclei of tiles that are said to be finer than they are
    model = ss.load_model("demo-classifier")
    model.module(torch.zeros(1, 3, 224, 224))
    before = _status_mb("VmRSS")
    times: list[tuple[float, int, int, float]] = []
    early: list[int] = []
    start = time.perf_counter()

    def told(progress: ss.Progress) -> None:
        if not times:
            early.append(_status_mb("VmHWM"))
        times.append(
            (time.perf_counter() - start, progress.done, progress.total, time.process_time())
        )

    def enough() -> bool:
        return bool(most_tiles and times and times[-1][1] >= most_tiles)

    with tempfile.TemporaryDirectory(dir=slide.parent) as folder:
        specs = [ss.SaliencySpec(layer=layer, method=METHOD, samples=0)]
        run = ss.explain_slide(
            slide, model, specs, Path(folder) / "run", progress=told, stop=enough
        )
        seconds = time.perf_counter() - start
        status = run.status
        stored = sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file())
    last = times[-1]
    done, total = last[1:3]
    settled = next(t for t in times if t[1] >= SETTLED * done)
    tiles = max(1, done - settled[1])
    return {
        "status": status,
        "tiles": total,
        "tiles_done": done,
        "seconds": round(seconds, 2),
        "seconds_to_first_tiles": round(times[0][0], 2),
        "ms_per_tile": round(1e3 * (last[0] - settled[0]) / tiles, 3),
        "cpu_ms_per_tile": round(1e3 * (last[3] - settled[3]) / tiles, 3),
        "model_loaded_mb": before,
        "peak_mb": _status_mb("VmHWM"),
        "beyond_mb": _status_mb("VmHWM") - before,
        "beyond_before_first_tiles_mb": early[0] - before,
        "store_mb": round(stored / 1e6, 1),
    }


def _status_mb(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return round(int(line.split()[1]) / 1024)
    raise LookupError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    path, of_layer, most = sys.argv[1:]
    print(json.dumps(one_run(Path(path), of_layer, int(most))))
