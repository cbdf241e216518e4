"""Progress of a run: what is told, and the bar that shows it in a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBar


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total
        Tiles.
    failed
        Tiles among the done ones that could not be read or computed.
    tiles_per_s
        Since the start of this process; 0 before the first batch.
    seconds_left
        At that rate; None before the first batch.
    """

    done: int
    total: int
    failed: int
    tiles_per_s: float
    seconds_left: float | None


Report = Callable[[Progress], None]


class Meter:
    """Counts tiles and seconds, and reports.

    Parameters
    ----------
    total, done
        Tiles of the run, and those that an earlier process finished.
    report
        Called after every batch.
    """

    def __init__(self, total: int, done: int, report: Report) -> None:
        self._total = total
        self._done = self._first = done
        self._failed = 0
        self._report = report
        self._start = time.monotonic()  # survives clock changes
        self.add(0, 0)

    def add(self, tiles: int, failed: int) -> None:
        """Count a batch and report."""
        self._done += tiles
        self._failed += failed
        elapsed = time.monotonic() - self._start
        rate = (self._done - self._first) / elapsed if self._done > self._first else 0.0
        left = (self._total - self._done) / rate if rate else None
        self._report(Progress(self._done, self._total, self._failed, rate, left))


@contextmanager
def terminal_bar(title: str) -> Iterator[Report]:
    """A progress bar on standard error with tiles/s and time left."""
    from rich.console import Console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles  {task.fields[rate]:.1f} tiles/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = RichBar(*columns, console=Console(stderr=True))
    task = bar.add_task(title, total=None, rate=0.0)

    def report(progress: Progress) -> None:
        if progress.total:
            bar.start()  # only now: what cannot start shows an error, not a bar
        bar.update(task, completed=progress.done, total=progress.total, rate=progress.tiles_per_s)

    try:
        yield report
    finally:
        bar.stop()
