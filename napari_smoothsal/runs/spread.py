"""Spread: the crew of a slide whose units are computed by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from distributed import Client, Future, KilledWorker, secede, wait
from distributed.client import FutureCancelledError, FuturesCancelledError

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import ComputeError, SettingError, SlideError
from napari_smoothsal.runs.at_worker import UnitAsked, compute_unit
from napari_smoothsal.runs.cluster_workers import WorkerCount, computes
from napari_smoothsal.runs.crew import Alone, Order
from napari_smoothsal.runs.layout import FAILED
from napari_smoothsal.runs.progress import Meter
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.unit import Unit, cut_out
from napari_smoothsal.runs.unit_writer import UnitDone
from napari_smoothsal.runs.writer_lock import writer_of

RETRIES = 2
"""Of a unit that raised an error: storage that did not answer may do so the next time."""
MOST_DEATHS = 2
"""Times that Dask gives up a unit, as worker after worker died at it, and it is asked for anew."""
_ASK_S = 0.5
"""Between two looks at whether to stop."""


class Spread:
    """Has the units of a stage computed elsewhere, and records what they leave to the store.

    Parameters
    ----------
    client
        Of the cluster, to whose workers `AtWork` was brought.
    token
        Of the command.
    name
        Of the slide, for the dashboard.
    model
        As a manifest names it.
    most
        Units at most.
    computing
        Held by this thread, and let go while it waits; None: nothing else computes here.
    """

    def __init__(
        self,
        client: Client,
        token: str,
        name: str,
        model: str | None,
        most: int,
        computing: threading.RLock | None = None,
    ) -> None:
        self._client, self._token, self._name, self._model = client, token, name, model
        self._most, self._computing = most, computing
        self._workers = WorkerCount(client, token)
        self._left = False

    def carry_out(self, order: Order) -> bool:
        """See `Crew.carry_out`; workers have as many readers as threads."""
        units = order.units(self._most)
        if len(units) < 2 and self._computing is not None:
            return Alone().carry_out(order)
        if order.slide.source is None:
            raise SettingError(
                f"slide {order.slide.name!r} was not opened by open_slide, so that workers cannot "
                "open it; give its path"
            )
        stage = order.stage
        lacking = sum(unit.owned for unit in units)
        meter = Meter(len(stage), len(stage) - lacking, order.report, stage.name)
        left = deque(enumerate(units, 1))
        running: dict[Future[Any], tuple[int, Unit]] = {}
        deaths = Counter[int]()
        with self._waiting():
            try:
                while left or running:
                    if order.stop is not None and order.stop():
                        return False
                    while left and len(running) < self._workers():
                        number, unit = left.popleft()
                        asked = self._asked(order, unit, f"{number}of{len(units)}")
                        running[self._submit(asked)] = number, unit
                    for future in _ended(running):
                        number, unit = running.pop(future)
                        try:
                            done: UnitDone | None = future.result()
                        except KilledWorker as error:
                            deaths[number] += 1
                            if deaths[number] >= MOST_DEATHS:
                                raise SlideError(
                                    f"{self._name}: each worker that computed one part of it "
                                    "was lost; its file may crash the decoder, or their memory "
                                    "may not suffice (a smaller --batch-size needs less)"
                                ) from error
                            left.append((number, unit))
                            continue
                        except FutureCancelledError as error:
                            if self._computing is not None:
                                return False  # this worker was cut off; another takes the slide
                            raise ComputeError(
                                f"{self._name}: the scheduler is gone, or does not know of this "
                                "work any more; the same command goes on where it stopped"
                            ) from error
                        if done is None:
                            left.append((number, unit))  # its worker was ended, or all are
                            continue
                        for said in done.said:
                            warn_caller(said)
                        order.writer.record(done)
                        meter.add(unit.owned, _failed(done, stage, unit))
            finally:
                # That of a worker which ends is closed already, and its tasks are dropped with it.
                with contextlib.suppress(Exception):
                    self._client.cancel(list(running), reason="the slide ended", force=True)
        return True

    def _asked(self, order: Order, unit: Unit, which: str) -> UnitAsked:
        stage, slide, writer = order.stage, order.slide, order.writer
        explainer = stage.explainer
        owner = writer_of(writer.path)
        assert slide.source is not None and owner is not None
        part, own = cut_out(stage, unit)
        precision = explainer.device.precision
        return UnitAsked(
            name=f"{self._name} {which}",
            model=self._model,
            specs=explainer.asked,
            compute=explainer.compute.model_copy(update={"precision": precision}),
            predicting=len(explainer.asked) > 0 and not explainer.specs,
            rows=explainer.rows.limit,
            slide=slide.source,
            resampling=order.resampling,
            store=str(writer.path),
            owner=owner,
            stage=replace(part, explainer=None),  # type: ignore[arg-type]
            unit=own,
        )

    def _submit(self, asked: UnitAsked) -> Future[Any]:
        # The dashboard groups tasks by what stands before the first hyphen.
        doing = f"{asked.stage.name}-{asked.name}-{self._token}-{time.time_ns():x}"
        return self._client.submit(
            compute_unit, self._token, asked,
            key=doing, resources={computes(self._token): 1}, retries=RETRIES, pure=False,
        )  # fmt: skip

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Leave this worker's thread, and what it computes with, to others."""
        if self._computing is None:
            yield
            return
        if not self._left:
            secede()
            self._left = True
        self._computing.release()
        try:
            yield
        finally:
            self._computing.acquire()


def _ended(waiting: Collection[Future[Any]]) -> list[Future[Any]]:
    """Those that have ended; none where none does within the time to ask whether to stop."""
    if not waiting:
        time.sleep(_ASK_S)  # until there is a worker
        return []
    with contextlib.suppress(TimeoutError, FuturesCancelledError):  # cancelled is done, too
        wait(list(waiting), timeout=_ASK_S, return_when="FIRST_COMPLETED")
    return [future for future in waiting if future.done()]


def _failed(done: UnitDone, stage: Stage, unit: Unit) -> int:
    """Tiles that are the unit's own and could not be computed."""
    own = set(stage.tiles[unit.own].tolist())
    return sum(
        int(status == FAILED)
        for tiles, columns in done.tables
        for tile, status in zip(tiles.tolist(), columns["status"], strict=True)
        if tile in own
    )
