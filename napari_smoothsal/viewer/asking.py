"""Asking: one question about a slide after another, from its pixels to its last answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_smoothsal.viewer.asked import Estimate, Explain, Request
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.session import Session
from napari_smoothsal.viewer.told import (
    Answer,
    Estimated,
    Failed,
    Finished,
    HotspotsFound,
    InputShown,
    Measured,
    Predicted,
    Ready,
    Stopped,
)
from napari_smoothsal.viewer.told_columns import Compared
from napari_smoothsal.viewer.told_of_trials import Tried
from napari_smoothsal.viewer.told_trust import Calibrated, TrustTold

WAITING = "Waiting until what is being computed is done ..."


@dataclass
class Job:
    """One question.

    Attributes
    ----------
    what
        As it is told: "This view".
    overlay
        Where its map is shown; None where there will be none.
    scratch
        Folder that goes when it ends.
    make
        The request, from its id.
    steps
        What copies the pixels that only this process has.
    view
        Whether it is of what is in view, and not kept.
    estimated
        Whether it is to be estimated, and started by `Asking.start` only; not any more once it is.
    slide
        What it is asked of, for whoever wants to know.
    id
        Of the request that was sent last; 0 while pixels are copied.
    """

    what: str
    overlay: Overlay | None
    scratch: Path
    make: Callable[[int], Request]
    steps: Iterator[None]
    view: bool = True
    estimated: bool = False
    slide: ExplainedSlide | None = None
    id: int = field(default=0, init=False)
    paused: bool = field(default=False, init=False)
    """Whether it was ended to be gone on with."""
    waiting: bool = field(default=False, init=False)
    """Whether it has been estimated and nobody has started it yet."""


class Asking(QObject):
    """Hands pixels over, asks the engine, and passes its answers on to whoever shows them.

    Parameters
    ----------
    session
        Its engine and folder.

    Signals
    -------
    told(object, object)
        A job and an answer to it that is not its last.
    ended(object, object)
        A job and the last answer to it.
    """

    told = Signal(object, object)
    ended = Signal(object, object)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        session.computing.add(self)
        self._job: Job | None = None
        self._superseded: dict[int, Job] = {}
        self._shown: Path | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._copy_on)

    @property
    def job(self) -> Job | None:
        """What is being explained, or waits to be started."""
        return self._job

    @property
    def computing(self) -> bool:
        """Whether the engine is at it, or will be."""
        job = self._job
        return job is not None and job.id > 0 and not job.waiting and not job.paused

    @property
    def must_wait(self) -> bool:
        """Whether another dock's question is before this one."""
        return any(one.computing for one in self._session.computing if one is not self)

    def begin(self, job: Job) -> None:
        """Explain; what is being explained now is no longer wanted."""
        self._supersede()
        self._job = job
        self._timer.start(0)
        self._copy_on()

    def start(self) -> None:
        """Start what was estimated."""
        job = self._job
        if job is not None and job.waiting:
            job.waiting = job.estimated = False
            job.id = self._session.engine.ask(job.make)

    def pause(self, paused: bool) -> None:
        """End what is kept, to go on with it later; or go on.

        The engine is free meanwhile. What was not written yet is computed again.
        """
        job = self._job
        if job is None or job.id == 0 or job.paused == paused:
            return
        job.paused = paused
        if paused:
            self._session.engine.cancel(job.id)
        else:
            job.id = self._session.engine.ask(job.make)

    def abandon(self) -> None:
        """Nobody waits for an answer any more."""
        self._supersede()

    def cancel(self) -> None:
        """End what is being explained; what is kept of it can be resumed."""
        job = self._job
        if job is None:
            return
        if job.id == 0 or job.waiting or job.paused:
            self._end(Stopped(id=job.id))
        else:
            self._session.engine.cancel(job.id)

    def hear(self, answer: Answer) -> bool:
        """Take an answer of the engine; whether it was about this."""
        if _is_last(answer) or isinstance(answer, Estimated):
            assert not isinstance(answer, Ready)
            if self._discarded(answer.id):
                return True
        job = self._job
        if job is None or isinstance(answer, Ready) or answer.id != job.id:
            return False
        if _is_last(answer):
            if job.paused and _is_unfinished(answer):
                self.told.emit(job, answer)
            else:
                self._end(answer)
            return True
        job.waiting = isinstance(answer, Estimated)
        self.told.emit(job, answer)
        return True

    def _discarded(self, number: int) -> bool:
        """Whether an answer is the last one to what is not wanted any more."""
        old = self._superseded.pop(number, None)
        if old is not None:
            self._session.discard(old.scratch)
        return old is not None

    def forget(self) -> Job | None:
        """The engine has died: nothing will come any more."""
        for job in self._superseded.values():
            self._session.discard(job.scratch)
        self._superseded.clear()
        lost = self._job
        self._drop()
        return lost

    def _copy_on(self) -> None:
        job = self._job
        if job is None or job.id:
            self._timer.stop()
            return
        try:
            copied = next(job.steps, self) is self
        except Exception as error:  # noqa: BLE001 - a full disk, a lazy layer's own error
            why = f"the slide's pixels could not be read: {error}"
            self._end(Failed(id=0, kind=type(error).__name__, message=why, expected=True))
            return
        if copied:
            self._timer.stop()
            if job.estimated:
                job.id = self._session.engine.ask(partial(_estimate, job.make))
            else:
                job.id = self._session.engine.ask(job.make)

    def _supersede(self) -> None:
        # At once: until a newer request arrives its pixels are copied, which may be called off.
        job = self._job
        if job is not None and job.id and not job.waiting and not job.paused:
            self._timer.stop()
            self._superseded[job.id] = job
            self._job = None
            self._session.engine.cancel(job.id)
        else:
            self._drop()

    def _end(self, answer: Answer) -> None:
        job, self._job = self._job, None
        assert job is not None
        self._timer.stop()
        self.ended.emit(job, answer)  # first: the map is read from the folder that goes
        if job.view and isinstance(answer, Finished) and answer.reading.tiles:
            # Until the next one: what is on show can still be saved.
            self._session.discard(self._shown)
            self._shown = job.scratch
        else:
            self._session.discard(job.scratch)

    def _drop(self) -> None:
        self._timer.stop()
        if self._job is not None:
            self._session.discard(self._job.scratch)
            self._job = None


def _is_last(answer: Answer) -> bool:
    """Estimates are not: they wait to be started."""
    if isinstance(answer, Measured | Predicted | Compared | TrustTold | Tried):
        return answer.complete
    return isinstance(answer, Finished | InputShown | HotspotsFound | Calibrated | Failed | Stopped)


def _is_unfinished(answer: Answer) -> bool:
    return isinstance(answer, Stopped) or (
        isinstance(answer, Finished) and answer.status == "running"
    )


def _estimate(make: Callable[[int], Request], number: int) -> Estimate:
    explain = make(number)
    assert isinstance(explain, Explain), "only explanations are estimated"
    return Estimate(id=number, explain=explain)
