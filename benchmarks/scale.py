"""Many workers: what a second one is worth, what handing out costs, what a killed one loses.

    python benchmarks/scale.py --out benchmarks/results/scale_2_cores.json
    python benchmarks/scale.py slides slide --rounds 5
    python benchmarks/scale.py kills --seconds 300 --every 20

Parts: `slides` and `slide` (two workers of one thread against one, on several slides, and on a
large one that is cut into units), the same `-pinned` (each worker has one core), `command` (whole
commands, with all that starts), `overhead` (of the loop and the scheduler at ten thousand units),
`kills` (a worker is killed every 20 s). Stores are compared bit for bit with those of one process.
The report is written part by part, and keeps what it has of the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import machine
from scale_kills import killed
from scale_overhead import overhead
from scale_speedup import slides_in, speedup, whole_command


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="all where none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=4, help="noise samples of a map")
    parser.add_argument("--slides", type=int, default=4, help="how many, of `--side`")
    parser.add_argument("--side", type=int, default=4000, help="px")
    parser.add_argument("--large-side", type=int, default=10_000, help="px")
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=12, help="that sleep")
    parser.add_argument("--sleeps", type=float, nargs="+", default=[0.0, 0.25])
    parser.add_argument("--every", type=float, default=20.0, help="s between kills")
    parser.add_argument("--seconds", type=float, default=300.0, help="of kills")
    parser.add_argument("--folder", type=Path, help="keeps slides that are made")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    warnings.simplefilter("ignore")  # what runs warn of is no figure
    report: dict[str, Any] = {}
    if given.out and given.out.exists():
        report = json.loads(given.out.read_text())
    report |= {"machine": machine(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as temporary:
        for name, part in _parts(given, given.folder or Path(temporary)).items():
            report[name] = part()
            text = json.dumps(report, indent=2)
            if given.out:
                given.out.write_text(text + "\n")
            print(f"{name}: {json.dumps(report[name])}", flush=True)


def _parts(given: argparse.Namespace, folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """What was asked for, in order."""
    rounds, samples = given.rounds, given.samples
    folder.mkdir(parents=True, exist_ok=True)
    several, (large,) = (
        slides_in(folder, count, side)
        for count, side in ((given.slides, given.side), (1, given.large_side))
    )
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "slides": lambda: speedup(several, rounds, samples),
        "slide": lambda: speedup([large], rounds, samples),
        "slides-pinned": lambda: speedup(several, rounds, samples, pinned=True),
        "slide-pinned": lambda: speedup([large], rounds, samples, pinned=True),
        "command": lambda: whole_command(several, rounds, samples),
        "overhead": lambda: overhead(several[0], given.units, given.workers, given.sleeps),
        "kills": lambda: killed(large, given.every, given.seconds, samples),
    }
    if unknown := set(given.parts) - set(parts):
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    return {name: parts[name] for name in parts if name in (given.parts or parts)}


if __name__ == "__main__":
    main()
