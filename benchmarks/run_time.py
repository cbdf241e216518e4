"""What a slide run takes beyond computing its maps, and on what.

A part of `slide.py`. The run is timed in turn with the computing alone of the same batches, from
memory. Another run is profiled: what each function calls that the run goes through, in the thread
that computes and in the one that writes.
"""

from __future__ import annotations

import contextlib
import cProfile
import pstats
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from slide_models import demo_classifier, resnet18
from stopwatch import Took, compared, stopwatch

import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.runs.plan import placed_layers
from napari_smoothsal.slides.reader import TileReader

STAGES = ("explain_slide", "carry_out", "_work", "_write", "finish", "__init__", "check_slide")
"""Functions whose callees are listed, each where there is one."""

Stages = dict[str, dict[str, float]]
"""Seconds by caller and callee."""

ROOMS = ("runs", "attribution")
"""Whose functions these are."""

LEAST_S = 0.02
"""Of a callee, to be listed."""


def run_over_compute(path: Path, rounds: int, samples: int, region: Any) -> dict[str, Any]:
    """Ratio of a run's time to that of computing the same batches, for both models.

    Parameters
    ----------
    path
        Of the slide.
    rounds
        Of run and computing, in turn.
    samples
        Noise samples of a map.
    region
        Of the slide, for the slow ResNet18; None: all of it.
    """
    spec = ss.SaliencySpec(layer="layer1", samples=samples)
    parts = {"demo-classifier": (demo_classifier, None), "ResNet18": (resnet18, region)}
    return {
        name: _measured(path, load, spec, rounds, where) for name, (load, where) in parts.items()
    }


def _measured(
    path: Path, load: Callable[[], ss.Model], spec: ss.SaliencySpec, rounds: int, region: Any
) -> dict[str, Any]:
    runs: list[Took] = []
    computing: list[Took] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        first = _run(path, load(), spec, out / "first", region)
        for number in range(rounds):
            # A model of its own each time: what is remembered of one is part of a run.
            runs.append(_run(path, load(), spec, out / str(number), region))
            took, tiles, batch_size = _computing(path, load(), spec, region)
            computing.append(took)
        profile = profiled(lambda name: _run(path, load(), spec, out / name, region))
    return {
        "layer": spec.layer,
        "samples": spec.samples,
        "region": region,
        "tiles": tiles,
        "batch_size": batch_size,
        "first_run_s": first.seconds,
        **compared("run", runs, "compute", computing),
        "where": profile,
    }


def _run(path: Path, model: ss.Model, spec: ss.SaliencySpec, out: Path, region: Any) -> Took:
    with stopwatch() as watch:
        ss.explain_slide(path, model, [spec], out, region=region, progress=False)
    return watch.took


def _computing(
    path: Path, model: ss.Model, spec: ss.SaliencySpec, region: Any
) -> tuple[Took, int, int]:
    """Time for the maps of a run's batches, number of tiles, tiles in a batch."""
    explainer = Explainer(model, [spec], ss.Compute(), scope="slide")
    with ss.open_slide(path) as slide:
        plan = ss.plan_tiles(slide, model, layers=placed_layers(explainer), region=region)
        grid, n = plan.grid, len(plan)
        size = explainer.batch_size(grid.tile_px)
        batches = [range(i, min(i + size, n)) for i in range(0, n, size)]
        with TileReader(slide, grid.tile_px) as reader:
            boxes = [[grid.box(i) for i in batch] for batch in batches]
            images = [tiles.images for tiles in reader.batches(boxes)]
    with stopwatch() as watch:
        for batch, pixels in zip(batches, images, strict=True):
            places = [tuple(int(v) for v in grid.origins[i]) for i in batch]
            explainer.explain(torch.from_numpy(pixels).permute(0, 3, 1, 2), places)
    return watch.took, n, size


def profiled(work: Callable[[str], object]) -> dict[str, Stages]:
    """Where the time of some work goes, done twice.

    Parameters
    ----------
    work
        Called with a name, another one each time.

    Returns
    -------
    dict
        ``wall_s`` and ``cpu_s``: by the clock, and of the thread's processor time, which other
        programs do not lengthen and waiting does not count in.
    """
    clocks = {"wall_s": time.perf_counter, "cpu_s": time.thread_time}
    return {name: _stages(lambda name=name: work(name), clock) for name, clock in clocks.items()}


def _stages(work: Callable[[], object], clock: Callable[[], float]) -> Stages:
    """Seconds of each callee of `STAGES`, by stage; the writing thread's stages included."""
    profiles = [cProfile.Profile(clock)]
    with _profiling_threads("smoothsal-writer", profiles, clock), profiles[0]:
        work()
    found: Stages = {}
    for profile in profiles:
        stats = pstats.Stats(profile)
        for (file, _, callee), (*_, callers) in stats.stats.items():  # type: ignore[attr-defined]
            for (caller_file, _, caller), (*_, cumulative) in callers.items():
                folder = Path(caller_file).parent.name
                if folder in ROOMS and caller in STAGES and cumulative >= LEAST_S:
                    stage = found.setdefault(f"{Path(caller_file).stem}.{caller}", {})
                    name = callee if file == "~" else f"{Path(file).stem}.{callee}"
                    stage[name] = round(stage.get(name, 0.0) + cumulative, 3)
    return {
        stage: dict(sorted(callees.items(), key=lambda item: -item[1]))
        for stage, callees in found.items()
    }


@contextlib.contextmanager
def _profiling_threads(
    name: str, profiles: list[cProfile.Profile], clock: Callable[[], float]
) -> Iterator[None]:
    """Profile threads of a name too."""
    plain = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        if not thread.name.startswith(name):
            plain(thread)
            return
        profiles.append(cProfile.Profile(clock))
        profiles[-1].runcall(plain, thread)

    threading.Thread.run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.run = plain  # type: ignore[method-assign]
