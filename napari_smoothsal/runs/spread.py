"""The crews of a slide that a cluster's workers compute: whose process only records, and a worker.

A worker has its slide for itself, until others have nothing left to do: it is told which it is
lent, ends its pass, cuts what is left of the slide into units, and computes some of them itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from distributed import secede

from napari_smoothsal.runs import layout
from napari_smoothsal.runs.crew import Alone, Order
from napari_smoothsal.runs.engine import carry_out
from napari_smoothsal.runs.handed_out import HandedOut, Hands, UnknownWorkError
from napari_smoothsal.runs.progress import Progress
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.unit import Unit
from napari_smoothsal.runs.unit_writer import UnitDone, UnitWriter
from napari_smoothsal.runs.writer_lock import writer_of

WORTH_BANDS = 2
"""Fullest bands of tiles that have to be left of a slide: stopping costs about one of them."""


class Spread:
    """Has the units of a stage computed elsewhere, and records what they leave to the store.

    Parameters
    ----------
    hands
        To whom they go.
    workers
        Addresses of all that there are now.
    """

    def __init__(self, hands: Hands, workers: Callable[[], Sequence[str]]) -> None:
        self._hands, self._workers = hands, workers

    def carry_out(self, order: Order) -> bool:
        """See `Crew.carry_out`; workers have as many readers as threads."""
        handed = HandedOut(self._hands, order, order.units(len(self._workers())))
        try:
            while not handed.finished:
                if order.stopped():
                    return False
                handed.tend(self._workers())
                handed.wait()
        finally:
            handed.close()
        return True


class Shared:
    """This worker, and others for as long as they have nothing else to do.

    Parameters
    ----------
    hands
        To whom units go.
    lent
        Addresses of the others that there are now.
    computing
        Held by this thread, and let go while it waits.
    """

    def __init__(
        self, hands: Hands, lent: Callable[[], Sequence[str]], computing: threading.RLock
    ) -> None:
        self._hands, self._lent, self._computing = hands, lent, computing
        self._seceded = False

    def carry_out(self, order: Order) -> bool:
        """See `Crew.carry_out`."""
        if self._alone_until_lent(order):
            return True
        if order.stopped():
            return False
        units = order.units(1 + max(1, len(self._lent())))
        if len(units) < 2:
            return Alone().carry_out(order)
        return self._with_others(order, units)

    def _alone_until_lent(self, order: Order) -> bool:
        """Whether the stage was completed before there were others, or too late for them."""
        least, left = WORTH_BANDS * _fullest_band(order.stage), len(order.stage)

        def stop() -> bool:
            return order.stopped() or (left >= least and len(self._lent()) > 0)

        def report(progress: Progress) -> None:
            nonlocal left
            left = progress.total - progress.done
            order.report(progress)

        return not stop() and Alone().carry_out(replace(order, stop=stop, report=report))

    def _with_others(self, order: Order, units: list[Unit]) -> bool:
        handed = HandedOut(self._hands, order, units)

        def stop() -> bool:
            if order.stopped():
                return True
            # At each pass, so that others are not kept waiting for their next unit.
            handed.tend(self._lent())
            return False

        try:
            while not handed.finished:
                if stop():
                    return False
                unit = handed.take()
                if unit is None:
                    with self._let_go():
                        handed.wait()
                elif (done := _computed(order, unit, handed, stop)) is None:
                    return False
                else:
                    handed.record(unit, done)
        except UnknownWorkError:
            return False  # this worker was cut off; another takes the slide
        finally:
            handed.close()
        return True

    @contextlib.contextmanager
    def _let_go(self) -> Iterator[None]:
        """Leave this worker's thread, and what it computes with, to other commands.

        Two of them might wait for each other's workers.
        """
        if not self._seceded:
            secede()
            self._seceded = True
        self._computing.release()
        try:
            yield
        finally:
            self._computing.acquire()


def _computed(
    order: Order, unit: Unit, handed: HandedOut, stop: Callable[[], bool]
) -> UnitDone | None:
    """Compute a unit here, as others do theirs; None where it was stopped."""
    stage, path = order.stage, order.writer.path
    writer = UnitWriter(path, stage.images, unit, writer_of(path))
    before = len(stage) - len(unit)

    def report(progress: Progress) -> None:
        handed.meter.within(min(progress.done - before, unit.owned))

    complete = carry_out(
        stage,
        unit,
        order.slide,
        writer,
        readers=order.readers,
        resampling=order.resampling,
        report=report,
        stop=stop,
    )
    return writer.done if complete else None


def _fullest_band(stage: Stage) -> int:
    """Tiles that begin in one band, at most."""
    return max(
        (
            int(np.bincount(np.maximum(stage.corners[n][:, 0], 0) // layout.BAND).max())
            for n in stage.images
        ),
        default=0,
    )
