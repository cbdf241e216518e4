"""What a Dask worker does: it holds what a command asked for, and explains slides and units of it.

One task computes at a time, whatever the number of the worker's threads, which are those that it
computes with: a worker offers one piece of a resource (`computes`).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from distributed import Status, Worker, get_client, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from napari_smoothsal.core.caller_warning import heard_warnings
from napari_smoothsal.core.errors import SettingError, SmoothsalError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.runs.cluster_workers import computes
from napari_smoothsal.runs.places import place_of
from napari_smoothsal.runs.progress import Progress, Report
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_work import SlideResult, SlideWork, Work
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.unit import Unit
from napari_smoothsal.runs.unit_writer import UnitDone
from napari_smoothsal.runs.versions import refuse_other_versions
from napari_smoothsal.runs.writer_lock import Writer
from napari_smoothsal.slides.slide_source import SlideSource

DEVICE = "SMOOTHSAL_DEVICE"
"""Variable of a worker's environment: on what it computes, where the command does not say."""
_MOST_EXPLAINERS = 2
_AT_WORK = (Status.running, Status.paused)
"""A paused worker is given nothing new: it is short of memory, or just made ready for a command."""
SAY_S = 2.0
"""Between two reports of a task: all of them pass the scheduler."""

logger = logging.getLogger(__name__)

COMPUTING = threading.RLock()
"""Held by the thread that uses torch."""


@dataclass(frozen=True)
class UnitAsked:
    """A unit as it is sent to a worker.

    Attributes
    ----------
    name
        For the eye.
    model
        As a manifest names it; None: the command's.
    specs, compute
        Of the run; ``compute`` with the precision that was decided for it.
    predicting
        Whether the stage decides only, of a run that explains afterwards.
    rows
        Tiles x samples that a pass may hold.
    slide
        How to open it.
    resampling
        See `TileReader`.
    store, owner
        Place of the store, and who holds it.
    stage, unit
        Cut out by `unit.cut_out`; the stage without its explainer.
    """

    name: str
    model: str | None
    specs: tuple[SaliencySpec, ...]
    compute: Compute
    predicting: bool
    rows: int
    slide: SlideSource
    resampling: Resampling
    store: str
    owner: Writer
    stage: Stage
    unit: Unit


class AtWork(WorkerPlugin):
    """Brings what a command asks to each worker, once; also to those that come later.

    Parameters
    ----------
    token
        Of the command.
    work
        What it asks.
    versions
        Of the packages that a worker must have as well, by name.
    """

    def __init__(self, token: str, work: Work, versions: dict[str, str]) -> None:
        self.name = f"smoothsal-{token}"
        self._token, self._work, self._versions = token, work, versions

    async def setup(self, worker: Worker) -> None:
        """Make a worker ready, or leave it without the resources that tasks ask for.

        Raises
        ------
        SettingError
            If it has another version of a package.
        """
        refuse_other_versions(f"worker {worker.name} at {worker.address}", self._versions)
        _COMMANDS[self._token] = _Command(self._token, self._work, worker.state.nthreads)
        if (refused := _device_fault(_COMMANDS[self._token].compute)) is not None:
            # The others do without it.
            logger.error("%s computes nothing: %s", worker.name, refused)
            return
        # The scheduler looks for tasks that wait for resources when a worker begins to run only.
        was, worker.status = worker.status, Status.paused
        await worker.set_resources(**{computes(self._token): 1})
        worker.status = was

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - as Dask calls it
        """Forget the command."""
        _COMMANDS.pop(self._token, None)


class _Command:
    """One command at one worker."""

    def __init__(self, token: str, work: Work, threads: int) -> None:
        compute = work.settings.get("compute") or Compute()
        changes: dict[str, Any] = {}
        if compute.device == "auto" and DEVICE in os.environ:
            changes["device"] = os.environ[DEVICE]
        if compute.readers is None:
            changes["readers"] = min(8, threads)
        self.compute = compute.model_copy(update=changes)
        self.token, self.threads = token, threads
        self.stopped = False
        self.lent: dict[str, Sequence[str]] = {}
        self._lent_at: dict[str, int] = {}
        self._work = work
        self._slides: SlideWork | None = None
        self._explainers: OrderedDict[Any, Any] = OrderedDict()

    def lend(self, number: int, lent: Mapping[str, Sequence[str]]) -> None:
        """Note which other workers slides may have, unless something newer was heard."""
        for store, others in lent.items():
            if number > self._lent_at.get(store, 0):
                self.lent[store], self._lent_at[store] = others, number

    def slides(self) -> SlideWork:
        """Work on whole slides, with this worker's device, and talk to whoever asked."""
        if self._slides is None:
            _computing_with(self.threads)
            talk = {"progress": False, "compute": self.compute}
            settings = {**self._work.settings, **talk}
            work = replace(self._work, settings=settings, command=self.token)
            self._slides = SlideWork(work)
        return self._slides

    def explainer(self, asked: UnitAsked) -> Any:
        """That of a run; a few are kept, as units of one follow each other."""
        from napari_smoothsal.attribution import Explainer

        compute = asked.compute.model_copy(update={"device": self.compute.device})
        key = (asked.model, *(one.model_dump_json() for one in (*asked.specs, compute)))
        if key not in self._explainers:
            model, _ = self.slides().models.get(asked.model)
            self._explainers[key] = Explainer(
                model, asked.specs, compute, scope="slide", warn=False
            )
            while len(self._explainers) > _MOST_EXPLAINERS:
                self._explainers.popitem(last=False)
        self._explainers.move_to_end(key)
        found = self._explainers[key]
        if asked.predicting:
            found = found.predicting()
        found.rows.limit = asked.rows
        return found


def _device_fault(compute: Compute) -> Exception | None:
    """What keeps a device from computing; None where nothing does."""
    import torch

    from napari_smoothsal.attribution.device import resolve_device

    try:
        torch.ones(2, device=resolve_device(compute).device).sum().item()
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        return error
    return None


_COMMANDS: dict[str, _Command] = {}
"""By token: what this worker is asked for."""


def _command(token: str) -> _Command:
    try:
        return _COMMANDS[token]
    except KeyError:
        raise SettingError(
            f"worker {get_worker().name} was not told what to do, or refused it; its log says why"
        ) from None


def _computing_with(threads: int) -> None:
    import torch

    from napari_smoothsal.core.freed_memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)


def stop_command(token: str) -> None:
    """Have all tasks of a command end at their next pass, as it is."""
    if token in _COMMANDS:
        _COMMANDS[token].stopped = True


def lend(token: str, number: int, lent: Mapping[str, Sequence[str]]) -> None:
    """Tell a worker which others may compute units of its slide.

    Parameters
    ----------
    token
        Of the command.
    number
        Of what is told, as it may come in another order.
    lent
        Addresses by the name of a slide's store.
    """
    if token in _COMMANDS:
        _COMMANDS[token].lend(number, lent)


def explain_one(token: str, job: SlideJob) -> tuple[SlideResult, list[str]]:
    """Explain a slide; a task.

    Parameters
    ----------
    token
        Of the command.
    job
        The slide.

    Returns
    -------
    SlideResult
        Without run, and with no more of an error than its words.
    list of str
        Warnings.
    """
    from napari_smoothsal.runs.handed_out import Hands
    from napari_smoothsal.runs.spread import Shared

    command = _command(token)
    stop, report = _stop(command), _reporting(command, job.name)
    with COMPUTING, heard_warnings() as said:
        slides = command.slides()
        hands = Hands(get_client(), token, job.name, job.model)
        crew = Shared(hands, lambda: command.lent.get(job.store, ()), COMPUTING)
        result = slides.explain(job, progress=report, stop=stop, crew=crew)
    _gone_if_lost(result.error)
    error = None if result.error is None else SmoothsalError(str(result.error))
    return replace(result, run=None, error=error), list(dict.fromkeys(said))


def compute_unit(token: str, asked: UnitAsked) -> UnitDone | None:
    """Compute a unit, and write what it owns; a task.

    Returns
    -------
    UnitDone
        What is left to the owner of the store; None where it was stopped.
    """
    from napari_smoothsal.runs.engine import carry_out
    from napari_smoothsal.runs.unit_writer import UnitWriter
    from napari_smoothsal.slides import open_slide

    command = _command(token)
    report = _reporting(command, asked.name)
    with COMPUTING, heard_warnings() as said:
        explainer = command.explainer(asked)
        stage = replace(asked.stage, explainer=explainer)
        writer = UnitWriter(place_of(asked.store), stage.images, asked.unit, asked.owner)
        source = asked.slide
        with open_slide(source.path, source.mpp, reader=source.reader) as slide:
            try:
                complete = carry_out(
                    stage,
                    asked.unit,
                    slide,
                    writer,
                    readers=command.compute.readers,
                    resampling=asked.resampling,
                    report=report,
                    stop=_stop(command),
                )
            except Exception as error:
                _gone_if_lost(error)
                raise
    writer.done.said.extend(dict.fromkeys(said))
    return writer.done if complete else None


def _gone_if_lost(error: BaseException | None) -> None:
    """End a process whose device refuses all further work; its nanny starts it anew."""
    from napari_smoothsal.runs.slide_faults import device_lost

    if device_lost(error):
        os._exit(1)  # what is cleared away at an ordinary end would ask the device


def _stop(command: _Command) -> Callable[[], bool]:
    """Whether a task of this thread is to end: told so, or nobody waits for it any more."""
    worker = get_worker()
    key = worker.get_current_task()

    def stop() -> bool:
        # Dask cannot end a thread: a task that nobody waits for has to look itself.
        task = worker.state.tasks.get(key)
        wanted = task is not None and task.state in ("executing", "long-running")
        return command.stopped or not wanted or worker.status not in _AT_WORK

    return stop


def _reporting(command: _Command, what: str) -> Report:
    """Progress, as an event of the scheduler that the command hears."""
    worker, topic, said = get_worker(), f"smoothsal-{command.token}", 0.0

    def report(progress: Progress) -> None:
        nonlocal said
        if time.monotonic() - said < SAY_S and progress.done < progress.total:
            return
        said = time.monotonic()
        worker.log_event(topic, {"what": what, "progress": asdict(progress)})

    return report
