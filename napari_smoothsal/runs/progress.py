"""Progress of a run: what is told, and the bar that shows it in a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBar
from rich.table import Column
from rich.text import Text

WITHIN_S = 1.0
"""Between two reports within a batch."""

_BESIDE_TITLE, _LEAST_TITLE = 72, 6
"""Letters of a line that the bar's figures take, and that a title has at least."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total
        Tiles; of those that are being computed, as many as their share of the work.
    failed
        Tiles among the done ones that could not be read or computed.
    tiles_per_s
        Since the start of this process; 0 before anything is computed.
    seconds_left
        At that rate; None before anything is computed.
    stage
        What is done to the tiles: ``predicting`` or ``explaining``.
    """

    done: int
    total: int
    failed: int
    tiles_per_s: float
    seconds_left: float | None
    stage: str = "explaining"


Report = Callable[[Progress], None]


class Meter:
    """Counts tiles and seconds, and reports.

    Parameters
    ----------
    total, done
        Tiles of the run, and those that an earlier process finished.
    report
        Called after every batch, and within those that take long.
    stage
        What is done to them.
    """

    def __init__(self, total: int, done: int, report: Report, stage: str = "explaining") -> None:
        self._total = total
        self._done = self._first = done
        self._failed = 0
        self._report = report
        self._stage = stage
        self._start = time.monotonic()  # survives clock changes
        self._next = self._start + WITHIN_S
        self.add(0, 0)

    def add(self, tiles: int, failed: int) -> None:
        """Count a batch and report."""
        self._done += tiles
        self._failed += failed
        self._tell(self._done)

    def within(self, tiles: float) -> None:
        """So many tiles' worth of a batch is computed; report it now and then."""
        if time.monotonic() >= self._next:
            self._tell(self._done + tiles)

    def _tell(self, done: float) -> None:
        now = time.monotonic()
        self._next = now + WITHIN_S
        elapsed = now - self._start
        rate = (done - self._first) / elapsed if done > self._first else 0.0
        left = (self._total - done) / rate if rate else None
        self._report(Progress(int(done), self._total, self._failed, rate, left, self._stage))


def announced(report: Report, announce: Callable[[], None]) -> Report:
    """A report before which something is said, once there is something to report.

    Parameters
    ----------
    report
        That is called then and afterwards.
    announce
        Called once: not where a run is refused, which reports nothing.
    """
    said = False

    def reported(progress: Progress) -> None:
        nonlocal said
        if not said:
            said = True
            announce()
        report(progress)

    return reported


class _Times(ProgressColumn):
    """How long it has taken, and will take, each with its word: none can be read for the other."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))
        self._elapsed, self._remaining = TimeElapsedColumn(), TimeRemainingColumn()

    def render(self, task: Task) -> Text:
        """As text."""
        taken, left = self._elapsed.render(task), self._remaining.render(task)
        return Text.assemble(taken, " so far, ", left, " to go")


def _cut(title: str, letters: int) -> str:
    """Of a long title the beginning: the figures beside it are not to be cut."""
    letters = max(_LEAST_TITLE, letters)
    return title if len(title) <= letters else f"{title[: letters - 1]}\u2026"


@contextmanager
def terminal_bars() -> Iterator[Callable[[str, Progress], None]]:
    """Progress bars on standard error, one for each title, with tiles/s and time left.

    A bar comes with the first report of its title, and goes with the last where there are others.
    """
    from rich.console import Console

    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[stage]}"),
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("tiles {task.fields[rate]:.1f}/s"),
        _Times(),
    )
    console = Console(stderr=True)
    bar = RichBar(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def report(title: str, progress: Progress) -> None:
        if not progress.total:
            return  # what cannot start shows an error, not a bar
        if title not in tasks:
            short = _cut(title, console.width - _BESIDE_TITLE)
            tasks[title] = bar.add_task(short, total=None, rate=0.0, stage="")
            bar.start()
        bar.update(
            tasks[title],
            completed=progress.done,
            total=progress.total,
            rate=progress.tiles_per_s,
            stage=progress.stage,
        )
        if progress.done >= progress.total and len(tasks) > 1:
            bar.remove_task(tasks.pop(title))

    try:
        yield report
    finally:
        bar.stop()


@contextmanager
def terminal_bar(title: str) -> Iterator[Report]:
    """The bar of one slide."""
    with terminal_bars() as report:
        yield partial(report, title)
