"""Wall clock and processor time of a stretch of work, and what two ways of it compare as."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Took:
    """What some work took.

    Attributes
    ----------
    seconds
        By the clock.
    cpu_s
        Of processor time, all threads together: it says more where other programs run.
    """

    seconds: float
    cpu_s: float


class Watch:
    """Holds what was measured, once the block has ended."""

    took: Took


@contextlib.contextmanager
def stopwatch() -> Iterator[Watch]:
    """Measure the block."""
    watch, start, start_cpu = Watch(), time.perf_counter(), time.process_time()
    yield watch
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    watch.took = Took(round(seconds, 3), round(cpu, 3))


def compared(name: str, one: Sequence[Took], other: str, two: Sequence[Took]) -> dict[str, Any]:
    """Both as lists, and the median ratio of pairs that were measured in turn.

    Parameters
    ----------
    name, other
        Of the two.
    one, two
        What each round took.
    """
    pairs = list(zip(one, two, strict=True))
    return {
        f"{name}_s": [took.seconds for took in one],
        f"{other}_s": [took.seconds for took in two],
        f"{name}_cpu_s": [took.cpu_s for took in one],
        f"{other}_cpu_s": [took.cpu_s for took in two],
        f"{name}_over_{other}": _median([a.seconds / b.seconds for a, b in pairs]),
        f"{name}_over_{other}_cpu": _median([a.cpu_s / b.cpu_s for a, b in pairs]),
    }


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)
