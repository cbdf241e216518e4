"""Two single-threaded workers against one, and against a single process without Dask.

A part of `scale.py`.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from distributed import Client
from large_slide import large_slide
from scale_clusters import Tasks, assert_same_bits, cpu_s, load, single_threaded

import napari_smoothsal as ss

MODEL = "demo-classifier"
LAYER = "layer1"

Measured = dict[str, Any]


def slides_in(folder: Path, count: int, side: int) -> list[Path]:
    """Make slides of one size, other ones each; those that are there are kept."""
    paths = [folder / f"scale_{side}_{seed}.tif" for seed in range(count)]
    for seed, path in enumerate(paths):
        if not path.exists():
            large_slide(path, side, seed=seed)
    return paths


def speedup(
    slides: Sequence[Path], rounds: int, samples: int, *, pinned: bool = False
) -> dict[str, Any]:
    """Time of slides in running clusters of one and of two workers, in turn.

    Before each round's clusters one process does the same, whose stores the others are compared
    with bit for bit. All of them compute with one thread, and read with one.

    Parameters
    ----------
    slides
        All of them are explained each time; a single one is cut into units by two workers.
    rounds
        Of the three.
    samples
        Noise samples of a map.
    pinned
        Whether each worker has one core only.
    """
    torch.set_num_threads(1)
    spec = ss.SaliencySpec(layer=LAYER, samples=samples)
    found: dict[str, list[Measured]] = {"process": [], "one_worker": [], "two_workers": []}
    arrays = 0
    with (
        tempfile.TemporaryDirectory() as temporary,
        single_threaded(1, pinned=pinned) as one,
        single_threaded(2, pinned=pinned) as two,
    ):
        folder = Path(temporary)
        for client, _ in (one, two):  # what is loaded at first use
            _explained(slides, spec, folder / f"first-{id(client)}", client, Tasks(), warm=True)
        for number in range(rounds):
            out = {name: folder / f"{name}-{number}" for name in found}
            found["process"].append(_alone(slides, spec, out["process"]))
            found["one_worker"].append(_explained(slides, spec, out["one_worker"], *one))
            found["two_workers"].append(_explained(slides, spec, out["two_workers"], *two))
            for slide in slides:
                name = f"{slide.stem}.smoothsal.zarr"
                for other in ("one_worker", "two_workers"):
                    arrays += assert_same_bits(out["process"] / name, out[other] / name)
        tiles = sum(
            len(ss.open_run(store).tiles) for store in out["process"].glob("*.smoothsal.zarr")
        )
    return {
        "slides": len(slides),
        "tiles": tiles,
        "samples": samples,
        "pinned": pinned,
        **found,
        "one_over_two": _ratio(found["one_worker"], found["two_workers"], "seconds"),
        "process_over_two": _ratio(found["process"], found["two_workers"], "seconds"),
        "one_over_two_busiest_cpu": _ratio(found["one_worker"], found["two_workers"], "busiest_s"),
        "arrays_compared_bit_for_bit": arrays,
    }


def _alone(slides: Sequence[Path], spec: ss.SaliencySpec, out: Path) -> Measured:
    compute = ss.Compute(readers=1)
    start, cpu = time.perf_counter(), time.process_time()
    ss.explain_slides(list(slides), MODEL, [spec], out, compute=compute, progress=False)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    return {
        "seconds": round(seconds, 2),
        "cpu_s": round(used, 2),
        "busiest_s": round(used, 2),
        "load": load(),
    }


def _explained(
    slides: Sequence[Path],
    spec: ss.SaliencySpec,
    out: Path,
    client: Client,
    tasks: Tasks,
    *,
    warm: bool = False,
) -> Measured:
    if warm:
        with ss.open_slide(slides[0]) as slide:
            region = (slide.width // 4, slide.height // 4, 1024, 1024)
        ss.explain_slides(
            list(slides), MODEL, [spec], out, client=client, progress=False, region=region
        )
        return {}
    before, given = cpu_s(client), dict(tasks.ended)
    start = time.perf_counter()
    ss.explain_slides(list(slides), MODEL, [spec], out, client=client, progress=False)
    seconds = time.perf_counter() - start
    used = [after - before[worker] for worker, after in cpu_s(client).items()]
    ended = {kind: n - given.get(kind, 0) for kind, n in tasks.ended.items()}
    return {
        "seconds": round(seconds, 2),
        "cpu_s": round(sum(used), 2),
        "busiest_s": round(max(used), 2),
        "tasks": ended,
        "load": load(),
    }


def whole_command(slides: Sequence[Path], rounds: int, samples: int) -> dict[str, Any]:
    """`smoothsal run` in one process of one thread, and with ``--scheduler local:2``.

    Imports and the start of the workers are in it.
    """
    found: dict[str, list[Measured]] = {"process": [], "local_2": []}
    extra = {"process": ["--readers", "1"], "local_2": ["--scheduler", "local:2"]}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds):
            for name, options in extra.items():
                out = Path(temporary) / f"{name}-{number}"
                out.mkdir()
                command = [
                    *(_command(), "run"),
                    *map(str, slides),
                    *("--model", MODEL, "--layer", LAYER, "--samples", str(samples)),
                    *("--out", str(out / "one.zarr" if len(slides) == 1 else out), *options),
                ]
                start = time.perf_counter()
                subprocess.run(
                    command,
                    check=True,
                    capture_output=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
                seconds = round(time.perf_counter() - start, 2)
                found[name].append({"seconds": seconds, "load": load()})
    ratio = _ratio(found["process"], found["local_2"], "seconds")
    return {"slides": len(slides), "samples": samples, **found, "process_over_local_2": ratio}


def _command() -> str:
    command = shutil.which("smoothsal")
    if command is None:
        raise SystemExit("no command smoothsal in PATH; activate the environment that has it")
    return command


def _ratio(one: Sequence[Measured], two: Sequence[Measured], what: str) -> float:
    return round(
        statistics.median(a[what] / b[what] for a, b in zip(one, two, strict=True)),
        3,
    )
