"""HandedOut: units of a stage that workers of a cluster compute, and what comes back of them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed import Client, Future, KilledWorker, wait
from distributed.client import FutureCancelledError, FuturesCancelledError

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import ComputeError, SettingError, SlideError
from napari_smoothsal.runs.at_worker import UnitAsked, compute_unit
from napari_smoothsal.runs.cluster_workers import computes
from napari_smoothsal.runs.crew import Order
from napari_smoothsal.runs.layout import FAILED
from napari_smoothsal.runs.progress import Meter
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.unit import Unit, cut_out
from napari_smoothsal.runs.unit_writer import UnitDone
from napari_smoothsal.runs.writer_lock import writer_of

RETRIES = 2
"""Of a unit that raised an error: storage that did not answer may do so the next time."""
MOST_LOST = 8
"""Workers that may be gone while they have one unit."""
_ASK_S = 0.5
"""Between two looks at whether to stop."""


class UnknownWorkError(ComputeError):
    """The scheduler does not know of what it was given."""


@dataclass(frozen=True)
class Hands:
    """To whom units are handed.

    Attributes
    ----------
    client
        Of the cluster, to whose workers `AtWork` was brought.
    token
        Of the command.
    name
        Of the slide, for the dashboard.
    model
        As a manifest names it.
    """

    client: Client
    token: str
    name: str
    model: str | None


@dataclass(frozen=True)
class _Running:
    """A unit that a worker has; ``number`` of all."""

    future: Future[Any]
    number: int
    unit: Unit


class HandedOut:
    """Units of one stage: those that nobody was given, those at work, and what is recorded.

    Parameters
    ----------
    hands
        To whom they go.
    order
        Of the stage; the store is recorded in.
    units
        All of them, in order.

    Attributes
    ----------
    meter
        Of the tiles of all units.
    """

    def __init__(self, hands: Hands, order: Order, units: Sequence[Unit]) -> None:
        if order.slide.source is None:
            raise SettingError(
                f"slide {order.slide.name!r} was not opened by open_slide, so that workers cannot "
                "open it; give its path"
            )
        self._hands, self._order, self._count = hands, order, len(units)
        self._left = deque(enumerate(units, 1))
        self._running: dict[str, _Running] = {}  # by the address of its worker
        self._lost = Counter[int]()
        lacking, total = sum(unit.owned for unit in units), len(order.stage)
        self.meter = Meter(total, total - lacking, order.report, order.stage.name)

    @property
    def finished(self) -> bool:
        """Whether all units are recorded, or taken."""
        return not self._left and not self._running

    def tend(self, workers: Sequence[str]) -> None:
        """Record what has ended, and hand out more, one to a worker.

        Each is meant for one worker: Dask would also choose some that compute a slide, whose unit
        would wait for all of that.

        Parameters
        ----------
        workers
            Addresses of those that may have some; units of others are taken back.

        Raises
        ------
        UnknownWorkError
            If the scheduler was restarted, or somebody ended the work.
        SmoothsalError
            What stopped a unit.
        """
        if self._hands.client.status != "running":
            raise UnknownWorkError(self._unknown())
        for address in [at for at, one in self._running.items() if one.future.done()]:
            self._take_back(self._running.pop(address))
        for address in self._running.keys() - set(workers):
            self._take_from(self._running.pop(address))
        for address in workers:
            if self._left and address not in self._running:
                number, unit = self._left.popleft()
                future = self._submitted(number, unit, address)
                self._running[address] = _Running(future, number, unit)

    def take(self) -> Unit | None:
        """The next one, for whoever computes it here; None where nothing is left."""
        return self._left.popleft()[1] if self._left else None

    def wait(self) -> None:
        """Until a unit ends, or it is time to ask whether to stop."""
        if not self._running:
            time.sleep(_ASK_S)  # until there is a worker
            return
        with contextlib.suppress(TimeoutError, FuturesCancelledError):  # cancelled is done, too
            wait(self._futures(), timeout=_ASK_S, return_when="FIRST_COMPLETED")

    def record(self, unit: Unit, done: UnitDone) -> None:
        """Write into the store what a unit leaves to its owner."""
        for said in done.said:
            warn_caller(said)
        self._order.writer.record(done)
        self.meter.add(unit.owned, _failed(done, self._order.stage, unit))

    def close(self) -> None:
        """Call off what is at work."""
        # The client of a worker that ends is closed already, and its tasks are dropped with it.
        with contextlib.suppress(Exception):
            self._hands.client.cancel(self._futures(), reason="the slide ended", force=True)

    def _futures(self) -> list[Future[Any]]:
        return [one.future for one in self._running.values()]

    def _take_from(self, one: _Running) -> None:
        """Whoever has it is gone, or is wanted for a slide."""
        self._hands.client.cancel([one.future], reason="its worker is not there", force=True)
        self._lost[one.number] += 1
        if self._lost[one.number] >= MOST_LOST:
            raise SlideError(
                f"{self._hands.name}: each worker that computed one part of it was lost; its file "
                "may crash the decoder, or their memory may not suffice (a smaller --batch-size "
                "needs less)"
            )
        self._left.append((one.number, one.unit))

    def _take_back(self, one: _Running) -> None:
        try:
            done: UnitDone | None = one.future.result()
        except KilledWorker:
            self._take_from(one)
            return
        except FutureCancelledError as error:
            raise UnknownWorkError(self._unknown()) from error
        if done is None:  # its worker is being ended
            self._left.append((one.number, one.unit))
        else:
            self.record(one.unit, done)

    def _unknown(self) -> str:
        return (
            f"{self._hands.name}: the scheduler is gone, or does not know of this work any more; "
            "the same command goes on where it stopped"
        )

    def _submitted(self, number: int, unit: Unit, address: str) -> Future[Any]:
        hands = self._hands
        asked = _asked(self._order, unit, hands, f"{number}of{self._count}")
        # The dashboard groups tasks by what stands before the first hyphen.
        doing = f"{asked.stage.name}-{asked.name}-{hands.token}-{time.time_ns():x}"
        try:
            return hands.client.submit(
                compute_unit, hands.token, asked,
                key=doing, resources={computes(hands.token): 1}, workers=[address],
                retries=RETRIES, pure=False,
            )  # fmt: skip
        except Exception as error:
            if hands.client.status == "running":
                raise
            raise UnknownWorkError(self._unknown()) from error


def _asked(order: Order, unit: Unit, hands: Hands, which: str) -> UnitAsked:
    stage, slide, writer = order.stage, order.slide, order.writer
    explainer = stage.explainer
    owner = writer_of(writer.path)
    assert slide.source is not None and owner is not None
    part, own = cut_out(stage, unit)
    precision = explainer.device.precision
    return UnitAsked(
        name=f"{hands.name} {which}",
        model=hands.model,
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


def _failed(done: UnitDone, stage: Stage, unit: Unit) -> int:
    """Tiles that are the unit's own and could not be computed."""
    own = set(stage.tiles[unit.own].tolist())
    return sum(
        int(status == FAILED)
        for tiles, columns in done.tables
        for tile, status in zip(tiles.tolist(), columns["status"], strict=True)
        if tile in own
    )
