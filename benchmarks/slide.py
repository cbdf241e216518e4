"""A slide run in figures: time, memory, seams, resuming, predicting first.

    python benchmarks/slide.py --out benchmarks/results/slide_2_cores.json
    python benchmarks/slide.py compute resume --rounds 5
    python benchmarks/slide.py predict --slide CMU-1-Small-Region.svs --tiatoolbox-python PATH

Parts: `compute` (a run against computing the same batches), `predict` (against TIAToolbox),
`memory` (peak and pace on slides of 20,000 and 100,000 px, made in `--folder`), `resume`, `seams`,
`where` (explaining only what is predicted as tumour). Times are medians of rounds that alternate;
processor time stands beside the clock's. Without names all parts run that can.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from against_tiatoolbox import against_tiatoolbox
from machine import machine
from run_memory import memory_and_pace
from run_parts import predicting_first, resuming, seams
from run_time import run_over_compute

from napari_smoothsal.core.freed_memory import keep_freed_memory
from napari_smoothsal.slides.sample import sample_slide_path

LAYER = "layer1"


def main() -> None:
    """Run the parts that were asked for and write the report after each of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="compute predict memory resume seams where")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=4, help="noise samples of a map")
    parser.add_argument("--region", help="X,Y,W,H of the sample slide that the ResNet18 explains")
    parser.add_argument("--slide", type=Path, help="a real slide, for `predict`")
    parser.add_argument("--tiatoolbox-python", type=Path, help="where tiatoolbox is installed")
    parser.add_argument("--batch-size", type=int, default=32, help="of TIAToolbox")
    parser.add_argument("--workers", type=int, default=0, help="of TIAToolbox")
    parser.add_argument("--sides", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--most-tiles", type=int, help="stop runs of `memory` after so many")
    parser.add_argument("--where-side", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="keeps slides that are made, up to 1.5 GB")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    warnings.simplefilter("ignore")  # what runs warn of is no figure
    keep_freed_memory()  # as the command does
    report: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "command": ["benchmarks/slide.py", *_without_paths(sys.argv[1:])],
    }
    with sample_slide_path() as sample, tempfile.TemporaryDirectory() as temporary:
        for name, part in _parts(given, sample, Path(temporary)).items():
            report[name] = part()
            text = json.dumps(report, indent=2)
            if given.out:
                given.out.parent.mkdir(parents=True, exist_ok=True)
                given.out.write_text(text + "\n")
    print(text)


def _parts(
    given: argparse.Namespace, sample: Path, temporary: Path
) -> dict[str, Callable[[], dict[str, Any]]]:
    """What was asked for, in order."""
    region = tuple(map(int, given.region.split(","))) if given.region else None
    folder, rounds, samples = given.folder or temporary, given.rounds, given.samples
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "compute": lambda: run_over_compute(sample, rounds, samples, region),
        "predict": lambda: against_tiatoolbox(
            given.slide, given.tiatoolbox_python, rounds, given.batch_size, given.workers
        ),
        "memory": lambda: memory_and_pace(folder, given.sides, LAYER, given.most_tiles),
        "resume": lambda: resuming(sample, rounds, LAYER, samples),
        "seams": seams,
        "where": lambda: predicting_first(folder, rounds, LAYER, given.where_side),
    }
    can = bool(given.slide and given.tiatoolbox_python)
    if unknown := set(given.parts) - set(parts):
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    if "predict" in given.parts and not can:
        raise SystemExit("`predict` needs --slide and --tiatoolbox-python")
    wanted = given.parts or [name for name in parts if name != "predict" or can]
    return {name: parts[name] for name in parts if name in wanted}


def _without_paths(arguments: list[str]) -> list[str]:
    return [Path(word).name if "/" in word else word for word in arguments]


if __name__ == "__main__":
    main()
