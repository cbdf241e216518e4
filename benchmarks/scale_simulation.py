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
from collections.abc import Sequence
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
    pace_spread
        Standard deviation of the logarithm of a slide's seconds a tile.
    slide_s
        Of a worker for each slide: opening, surveying, laying out the store.
    tile_mb
        Read and written for each tile.
    file_mb_s
        Of the file system, all workers together.
    hand_out_s, hand_out_per_worker_s
        Of the hander-out for each task, and more of it for each worker that there is.
    most_units
        Of one slide: bands of chunks do not allow more.
    twice
        Share of a slide that is computed twice where it is cut into that many, and less for fewer.
    slow_share, slow_factor
        Of the workers, and how many times longer they take.
    deaths_per_hour
        Of one worker; a task then begins anew with half of its work lost.
    largest_first
        Whether the list of slides is sorted so.
    lending
        Whether workers that have nothing left to do are lent to slides that are still computed.
    """

    slides: int = 1000
    workers: int = 64
    tiles: float = 5000.0
    tiles_spread: float = 0.6
    tile_s: float = 0.037
    pace_spread: float = 0.1
    slide_s: float = 1.0
    tile_mb: float = 0.12
    file_mb_s: float = 1000.0
    hand_out_s: float = 0.0125
    hand_out_per_worker_s: float = 0.00002
    most_units: int = 25
    twice: float = 0.1
    slow_share: float = 0.0
    slow_factor: float = 3.0
    deaths_per_hour: float = 0.0
    largest_first: bool = True
    lending: bool = True


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
    pace = np.where(are_slow, 1 / site.slow_factor, 1.0)
    paces = np.exp(chance.normal(0.0, site.pace_spread, site.slides))
    whole = site.slide_s + site.tile_s * sizes * paces
    left = np.zeros(site.slides)  # seconds of one worker
    speed = np.zeros(site.slides)  # of all workers at a slide together
    members: list[list[int]] = [[] for _ in range(site.slides)]
    idle = list(range(site.workers))[::-1]
    hand_out_s = site.hand_out_s + site.hand_out_per_worker_s * site.workers
    now = free_at = 0.0
    first_idle: float | None = None
    handed = lent = 0
    while True:
        flow = site.tile_mb / site.tile_s * float(speed.sum())  # MB/s, where nothing holds it up
        rate = speed * (min(1.0, site.file_mb_s / flow) if flow else 1.0)
        ends = np.divide(left, rate, out=np.full(site.slides, math.inf), where=rate > 0)
        soonest = int(ends.argmin())
        helped = _to_help(site, left, whole, members) if handed == site.slides and idle else None
        wanted = bool(idle) and (handed < site.slides or helped is not None)
        gives_at = max(free_at, now) if wanted else math.inf
        step = min(float(ends[soonest]), gives_at - now)
        if math.isinf(step):
            break
        left -= step * rate
        now += step
        if gives_at <= now:
            worker = idle.pop()
            if handed < site.slides:
                at, handed = handed, handed + 1
                dies = 1 - math.exp(-site.deaths_per_hour * whole[at] / 3600)
                left[at] = whole[at] * (1.5 if chance.random() < dies else 1.0)
            else:
                assert helped is not None
                at, lent = helped, lent + 1
                left[at] += whole[at] * site.twice / site.most_units
            members[at].append(worker)
            speed[at] += pace[worker]
            free_at = now + hand_out_s
            continue
        left[soonest] = speed[soonest] = 0.0
        idle += members[soonest]
        members[soonest] = []
        if handed == site.slides and first_idle is None:
            first_idle = now
    power = float(pace.sum())
    needed = whole.sum() / power
    tail = (now - first_idle) / now if first_idle is not None else 0.0
    return Outcome(now, float(needed / now), tail, site.slides + lent)


def slide_tiles(site: Site, chance: np.random.Generator) -> Floats:
    """(slides,) tiles of each slide."""
    sizes = site.tiles * np.exp(chance.normal(0.0, site.tiles_spread, site.slides))
    return np.sort(sizes)[::-1] if site.largest_first else sizes


def _to_help(
    site: Site, left: Floats, whole: Floats, members: Sequence[Sequence[int]]
) -> int | None:
    """The slide that an idle worker is lent to: it has fewest workers, and enough to do.

    A worker that is lent stays, and is not held back by those that compute other units.
    """
    if not site.lending:
        return None
    counts = np.array([len(some) for some in members])
    # Stopping costs about a unit of its work, of which two have to be left.
    can = (counts > 0) & (counts < site.most_units) & (left >= 2 * whole / site.most_units)
    return int(np.where(can, counts, np.iinfo(np.int64).max).argmin()) if can.any() else None


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
        "without lending": replace(site, lending=False),
        "nor the largest slides first": replace(site, lending=False, largest_first=False),
        "a model that takes 0.5 s a tile": replace(site, tile_s=0.5),
        "a GPU's pace, 0.005 s a tile": replace(site, tile_s=0.005),
        "the same, a file system of 10 GB/s": replace(site, tile_s=0.005, file_mb_s=10_000),
        "the same, handed out in no time": replace(
            site, tile_s=0.005, file_mb_s=10_000, hand_out_s=0.0, hand_out_per_worker_s=0.0
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
    parser.add_argument("--by-chance", action="store_true", help="not the largest slides first")
    parser.add_argument("--no-lending", action="store_true")
    numbers = [f for f in fields(Site) if f.name not in ("workers", "largest_first", "lending")]
    for field in numbers:
        name, kind = field.name.replace("_", "-"), type(field.default)
        parser.add_argument(f"--{name}", type=kind, default=field.default)
    given = parser.parse_args()
    site = Site(
        largest_first=not given.by_chance,
        lending=not given.no_lending,
        **{f.name: getattr(given, f.name) for f in numbers},
    )
    print(all_tables(site, given.workers) if given.table else table(site, given.workers))


if __name__ == "__main__":
    main()
