"""A batch on several devices: one process each, which takes the next slide when it is free.

The processes are spawned, as CUDA asks for it. A slide is given to one of them at a time; when a
process dies, or its device refuses all further work, another one takes its slide over, once: what
ends two is not given to a third. A device that is lost at slide after slide is not used any more.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import warnings
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from typing import Any

from napari_smoothsal.core.available_cores import compute_threads
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import (
    ComputeError,
    DeviceLostError,
    SettingError,
    SmoothsalError,
)
from napari_smoothsal.core.freed_memory import keep_freed_memory
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.models import Model
from napari_smoothsal.runs.layout import own_attributes
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.slide_asked import TALKING
from napari_smoothsal.runs.slide_faults import device_lost, first_line
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import MOST_DEATHS, called_off
from napari_smoothsal.runs.slide_work import SlideResult, SlideWork, Work, died

READY = "ready"
MOST_LOSSES = 2
"""Slides one after the other at which a device may be lost, until it is not used any more."""
_ASK_S = 0.5
"""Between two looks at whether to stop."""
_END_S = 60.0
"""For a process to reach the end of its pass, once it was told to stop."""


def on_devices(
    work: Work,
    jobs: Sequence[SlideJob],
    devices: Sequence[str],
    told: Callable[[SlideJob, SlideResult], None],
    stop: Callable[[], bool] | None = None,
) -> None:
    """Explain slides on several devices at once.

    Parameters
    ----------
    work
        What is asked; its model, and its functions, have to be such that pickle takes them.
    jobs
        Slides, in the order in which they are taken.
    devices
        Names as of `Compute.device`; one process for each, so that ``["cpu", "cpu"]`` are two.
    told
        Called with each slide as it ends.
    stop
        Asked twice a second; once it answers True, slides are left resumable.

    Raises
    ------
    SmoothsalError
        If a process cannot be started, or what it needs cannot be sent to it.
    DeviceLostError
        If no device is left that can be used.
    """
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    share = _Share(len(devices))
    workers = [_Worker(_for_device(work, device), share, stopping, device) for device in devices]
    _check_sendable(_for_device(work, devices[0]))
    waiting, deaths = deque(jobs), Counter[str]()
    with _ended(workers, stopping):
        while waiting or any(worker.job for worker in workers):
            if stop is not None and stop():
                stopping.set()
                waiting.clear()
            usable = [worker for worker in workers if worker.usable]
            if waiting and not usable:
                raise _all_lost(workers, waiting)
            for worker in usable:
                free = worker.ready and worker.job is None
                if free and (job := _next_for(worker, waiting, usable)) is not None:
                    worker.give(job)
            for worker in usable:
                # One that died is replaced where it is needed.
                if waiting and not worker.alive:
                    worker.start()
            pipes = [worker.pipe for worker in workers if worker.alive]
            for pipe in wait(pipes, _ASK_S):
                worker = next(one for one in workers if one.pipe is pipe)
                job = worker.job
                result = worker.hear()
                if job is None:
                    continue
                if result is not None:
                    told(job, result)
                    continue
                deaths[job.store] += 1
                if deaths[job.store] < MOST_DEATHS:
                    waiting.appendleft(job)
                    warn_caller(
                        f"{job.name}: the process for device {worker.device} {worker.end}; another "
                        "one takes the slide over"
                    )
                else:
                    told(job, died(work, job, worker.end, lasting=not worker.lost(job)))
                if not worker.usable:
                    warn_caller(
                        f"device {worker.device} failed at slide after slide, and is not used any "
                        "more; look at it with nvidia-smi"
                    )


def _next_for(
    worker: _Worker, waiting: deque[SlideJob], usable: Sequence[_Worker]
) -> SlideJob | None:
    """The first slide that waits; one at which this device was lost is better for another."""
    for job in waiting:
        if not worker.lost(job) or all(other.lost(job) for other in usable):
            waiting.remove(job)
            return job
    return None


def _all_lost(workers: Sequence[_Worker], left: Collection[SlideJob]) -> DeviceLostError:
    ends = "; ".join(f"the process for device {one.device} {one.end}" for one in workers)
    of = "1 slide is" if len(left) == 1 else f"{len(left)} slides are"
    return DeviceLostError(
        f"no device is left: {ends}. {of} left; look at nvidia-smi, then the same command goes on "
        "with them"
    )


@dataclass(frozen=True)
class _Share:
    """How many processes share the machine."""

    processes: int


@dataclass(frozen=True)
class _DeviceLost:
    """What a process says last, whose device refuses all further work.

    Attributes
    ----------
    said
        By the device.
    """

    said: str


class _Worker:
    """One process from outside; started anew when it has died."""

    def __init__(self, work: Work, share: _Share, stopping: Event, device: str) -> None:
        self._given = (work, share, stopping)
        self.device = device
        self.job: SlideJob | None = None
        self.ready = False
        self.end = ""
        self.lost_at: tuple[str, ...] = ()
        self.pipe: Connection
        self._process: SpawnProcess | None = None

    @property
    def alive(self) -> bool:
        """Whether it was started, and has not been heard to die."""
        return self._process is not None

    @property
    def usable(self) -> bool:
        """Whether its device may be given another process."""
        return len(self.lost_at) < MOST_LOSSES

    def lost(self, job: SlideJob) -> bool:
        """Whether its device was lost at a slide, and has not finished another since."""
        return job.store in self.lost_at

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, *self._given), daemon=True)
        self._process.start()
        # The process holds the only other end, so that its death is heard.
        other.close()

    def give(self, job: SlideJob) -> None:
        self.job = job
        # One that has died meanwhile is heard of next.
        with contextlib.suppress(OSError):
            self.pipe.send(job)

    def hear(self) -> SlideResult | None:
        """What it says of its slide; None where it is ready, or has died.

        Raises
        ------
        ComputeError
            If it died before it was ready: so would the next.
        """
        try:
            said: tuple[SlideResult, list[str]] | _DeviceLost | str = self.pipe.recv()
        except (EOFError, OSError):
            self._buried()
            return None
        if isinstance(said, _DeviceLost):
            assert self.job is not None
            self.lost_at += () if self.lost(self.job) else (self.job.store,)
            self._buried(f"lost its device ({said.said})")
            return None
        if isinstance(said, str):
            self.ready = True
            return None
        result, messages = said
        for message in messages:
            warn_caller(f"{result.name}: {message}")
        self.job = None
        if result.computed and result.error is None:
            self.lost_at = ()  # it works
        # The run was opened over there; this process opens it itself.
        has_run = result.error is None and own_attributes(result.store) is not None
        return replace(result, run=Run(result.store) if has_run else None)

    def _buried(self, how: str = "") -> None:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self.end = how or ended
        self.pipe.close()
        self._process, ready, self.ready = None, self.ready, False
        if not ready:
            guard = 'its work within `if __name__ == "__main__":`'
            raise ComputeError(
                f"the process for device {self.device} {self.end} before it was ready; what it "
                f"said is above. A script that asks for several devices needs {guard}"
            )
        self.job = None

    def finish(self, seconds: float) -> None:
        """Wait for its end, and after so long end it."""
        if self._process is None or self._process.pid is None:
            return  # interrupted before it was started
        self.pipe.close()
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            if self.job is not None:
                called_off(self._given[0].out, self.job.store)


@contextlib.contextmanager
def _ended(workers: Sequence[_Worker], stopping: Event) -> Iterator[None]:
    """End the processes with the block, each at the end of its pass."""
    try:
        yield
    finally:
        stopping.set()
        try:
            for worker in workers:
                worker.finish(_END_S)
        finally:  # interrupted again
            for worker in workers:
                worker.finish(0.0)


def _for_device(work: Work, device: str) -> Work:
    settings: dict[str, Any] = {n: v for n, v in work.settings.items() if n not in TALKING}
    compute = settings.get("compute") or Compute()
    settings["compute"] = compute.model_copy(update={"device": device})
    model = work.model.maker() if isinstance(work.model, Model) else work.model
    return replace(work, model=model, settings=settings | {"progress": False})


def _check_sendable(work: Work) -> None:
    try:
        pickle.dumps(work)
    except Exception as error:
        raise SettingError(
            f"devices: what is asked cannot be sent to other processes ({error}); give the model "
            "by its name, its folder or a function of a module"
        ) from error


def serve(pipe: Connection, work: Work, share: _Share, stopping: Event) -> None:
    """What each process does: slides that come through a pipe, until it is closed."""
    import torch

    from napari_smoothsal.slides.threads import default_threads

    # Ctrl-C reaches all processes of a terminal; the first one decides for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    parent = multiprocessing.parent_process()

    def stop() -> bool:
        return stopping.is_set() or (parent is not None and not parent.is_alive())

    compute = work.settings["compute"]
    threads = compute_threads() or torch.get_num_threads()
    torch.set_num_threads(max(1, threads // share.processes))
    if compute.readers is None:
        readers = max(1, default_threads() // share.processes)
        compute = compute.model_copy(update={"readers": readers})
    slides = SlideWork(replace(work, settings={**work.settings, "compute": compute, "stop": stop}))
    with contextlib.suppress(EOFError, OSError):
        pipe.send(READY)
        while not stop():
            job = pipe.recv()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = slides.explain(job)
            if result.error is not None and device_lost(result.error):
                pipe.send(_DeviceLost(first_line(result.error)))
                os._exit(1)  # what is cleared away at an ordinary end would ask the device
            said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
            error = None if result.error is None else SmoothsalError(str(result.error))
            sent = replace(result, run=None, error=error)
            pipe.send((sent, list(dict.fromkeys(said))))
