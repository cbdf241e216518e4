"""From one worker's measured times to thousands of slides: where more workers stop helping.

    python benchmarks/scale_simulation.py --slides 1000 --workers 8 64 512
    python benchmarks/scale_simulation.py --slides 100000 --workers 1000 --tile-s 0.01
    python benchmarks/scale_simulation.py --table

A discrete-event simulation of the loops that hand out slides and units. A task costs its hander-out
some time, one after the other; then the worker computes, as fast as it can and as the file
system, which all of them share, lets it. Tissue per slide, and the pace of workers, are drawn.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Site:
    """Slides, workers and what they share. Defaults: see docs/scale.md.

    Attributes
    ----------
    slides, workers
        How many.
    tiles
        Of the median slide.
    tiles_spread
        Standard deviation of the logarithm of a slide's tiles.
    tile_s
        Of a worker for each tile: reading, computing, stitching and writing.
    slide_s
        Of a worker for each slide: opening, surveying, laying out the store.
    tile_mb
        Read and written for each tile.
    file_mb_s
        Of the file system, all workers together.
    hand_out_s, hand_out_per_worker_s
        Of the hander-out for each task, and more of it for each worker that there is.
    units_per_worker
        Of slides that are fewer than the workers.
    most_units
        Of one slide: bands of chunks do not allow more.
    twice
        Share of a slide that is computed twice where it is cut.
    slow_share, slow_factor
        Of the workers, and how many times longer they take.
    deaths_per_hour
        Of one worker; a task then begins anew with half of its work lost.
    largest_first
        Whether the list of slides is sorted so.
    cut_last
        Whether the last slides of a long list are cut, too. Runs do not do so.
    """

    slides: int = 1000
    workers: int = 64
    tiles: float = 5000.0
    tiles_spread: float = 0.6
    tile_s: float = 0.5
    slide_s: float = 3.0
    tile_mb: float = 0.12
    file_mb_s: float = 1000.0
    hand_out_s: float = 0.01
    hand_out_per_worker_s: float = 0.0001
    units_per_worker: int = 4
    most_units: int = 25
    twice: float = 0.1
    slow_share: float = 0.0
    slow_factor: float = 3.0
    deaths_per_hour: float = 0.0
    largest_first: bool = False
    cut_last: bool = False


@dataclass(frozen=True)
class Outcome:
    """Of a simulation.

    Attributes
    ----------
    seconds
        From the first task to the end of the last.
    efficiency
        Time that the workers would have needed without waiting, over what they were there for.
    tail
        Share of the time in which some worker had nothing left to do.
    tasks
        That were handed out.
    """

    seconds: float
    efficiency: float
    tail: float
    tasks: int


def simulate(site: Site, seed: int = 0) -> Outcome:
    """Play a batch through.

    Parameters
    ----------
    site
        What there is.
    seed
        Of chance.
    """
    chance = np.random.default_rng(seed)
    sizes = slide_tiles(site, chance)
    are_slow = chance.permutation(site.workers) < round(site.slow_share * site.workers)
    slower = np.where(are_slow, site.slow_factor, 1.0)
    tasks = work_of_tasks(site, sizes)
    left = np.zeros(site.workers)  # seconds of the worker's own pace
    demand = site.tile_mb / (site.tile_s * slower)  # MB/s of a worker that is not held up
    idle = list(range(site.workers))[::-1]
    hand_out_s = site.hand_out_s + site.hand_out_per_worker_s * site.workers
    now = free_at = 0.0
    first_idle: float | None = None
    handed, waiting = 0, len(tasks)
    while True:
        busy = left > 0
        flow = float(demand[busy].sum())
        rate = (min(1.0, site.file_mb_s / flow) if flow else 1.0) / slower
        ends = np.where(busy, left / rate, math.inf)
        soonest = int(ends.argmin())
        gives_at = free_at if idle and handed < waiting else math.inf
        step = min(float(ends[soonest]), max(gives_at - now, 0.0))
        if math.isinf(step):
            break
        left[busy] -= (step * rate)[busy]
        now += step
        if gives_at <= now:
            worker = idle.pop()
            lost = chance.random() < 1 - math.exp(-site.deaths_per_hour * tasks[handed] / 3600)
            left[worker] = tasks[handed] * (1.5 if lost else 1.0)
            handed += 1
            free_at = now + hand_out_s
            continue
        left[soonest] = 0.0
        idle += np.flatnonzero(busy & (left <= 0)).tolist()  # several, where tasks are equal
        free_at = max(free_at, now)
        if handed == waiting and first_idle is None:
            first_idle = now
    power = float((1 / slower).sum())
    needed = (sizes.sum() * site.tile_s + site.slides * site.slide_s) / power
    tail = (now - first_idle) / now if first_idle is not None else 0.0
    return Outcome(now, float(needed / now), tail, waiting)


def slide_tiles(site: Site, chance: np.random.Generator) -> Floats:
    """(slides,) tiles of each slide."""
    sizes = site.tiles * np.exp(chance.normal(0.0, site.tiles_spread, site.slides))
    return np.sort(sizes)[::-1] if site.largest_first else sizes


def work_of_tasks(site: Site, sizes: Floats) -> Floats:
    """(tasks,) seconds of each: slides, or units of slides that are fewer than workers."""
    whole = site.slide_s + site.tile_s * sizes
    fewer = site.slides < site.workers
    kept = 0 if fewer else site.slides - site.workers if site.cut_last else site.slides
    tasks = list(whole[:kept])
    for n in range(kept, site.slides):
        left = site.slides if fewer else site.slides - n
        units = min(math.ceil(site.units_per_worker * site.workers / left), site.most_units)
        seconds = whole[n] * (1 + site.twice * (units - 1) / site.most_units)
        tasks += [seconds / units] * units
    return np.array(tasks)


def table(site: Site, workers: list[int]) -> str:
    """Rows of hours, efficiency and tail."""
    lines = ["workers  hours    efficiency  tail  tasks"]
    for count in workers:
        found = simulate(replace(site, workers=count))
        lines.append(
            f"{count:7d}  {found.seconds / 3600:7.2f}  {found.efficiency:9.0%}  "
            f"{found.tail:5.0%}  {found.tasks}"
        )
    return "\n".join(lines)


def all_tables(site: Site, workers: list[int]) -> str:
    """One for each thing that bends the curve; those of docs/scale.md."""
    cases = {
        "as it is": site,
        "largest slides first": replace(site, largest_first=True),
        "were the last slides cut": replace(site, cut_last=True),
        "a GPU's pace, 0.01 s a tile": replace(site, tile_s=0.01),
        "the same, a file system of 10 GB/s": replace(site, tile_s=0.01, file_mb_s=10_000),
        "the same, a loop that asks for the workers once a second": replace(
            site, tile_s=0.01, file_mb_s=10_000, hand_out_per_worker_s=0.0
        ),
        "one worker of 20 is 3 times slower": replace(site, slow_share=0.05),
        "a worker dies once a day": replace(site, deaths_per_hour=1 / 24),
    }
    return "\n\n".join(f"{name}\n{table(case, workers)}" for name, case in cases.items())


def main() -> None:
    """Simulate what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 256, 1000])
    parser.add_argument("--table", action="store_true", help="what bends the curve, one by one")
    parser.add_argument("--largest-first", action="store_true")
    parser.add_argument("--cut-last", action="store_true")
    numbers = [f for f in fields(Site) if f.name not in ("workers", "largest_first", "cut_last")]
    for field in numbers:
        name, kind = field.name.replace("_", "-"), type(field.default)
        parser.add_argument(f"--{name}", type=kind, default=field.default)
    given = parser.parse_args()
    site = Site(
        largest_first=given.largest_first,
        cut_last=given.cut_last,
        **{f.name: getattr(given, f.name) for f in numbers},
    )
    print(all_tables(site, given.workers) if given.table else table(site, given.workers))


if __name__ == "__main__":
    main()
