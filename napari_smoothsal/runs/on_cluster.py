"""A batch on a Dask cluster: a task for each slide, which may have its units computed by others."""

from __future__ import annotations

import pickle
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker, wait
from distributed.client import FutureCancelledError, FuturesCancelledError

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import ComputeError, SettingError, SmoothsalError
from napari_smoothsal.models import Model
from napari_smoothsal.runs.at_worker import AtWork, explain_one, stop_command
from napari_smoothsal.runs.cluster_workers import Workers, computes
from napari_smoothsal.runs.handed_out import Hands
from napari_smoothsal.runs.layout import own_attributes
from napari_smoothsal.runs.lending import Lending
from napari_smoothsal.runs.progress import Progress
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.slide_asked import TALKING
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import read_state, state_file
from napari_smoothsal.runs.slide_work import SlideResult, Work, died
from napari_smoothsal.runs.spread import Spread
from napari_smoothsal.runs.versions import PACKAGES, own_versions

_ASK_S = 0.5
"""Between two looks at whether to stop."""
PATIENCE_S = 60.0
"""How long there may be no worker: schedulers of clusters start them when they can."""
_START = "start some (`dask worker ADDRESS`), and give the same command"
MOST_LEFT = 50
"""Times that a slide comes back unfinished, however far it was brought each time."""
_END_S = 60.0
"""For tasks to reach the end of their pass, once they were told to stop."""

Said = Callable[[str, Progress], None]
"""Told of a slide's store, or of a unit, how far it is."""


def explain_on(
    client: Client,
    work: Work,
    jobs: Sequence[SlideJob],
    told: Callable[[SlideJob, SlideResult], None],
    stop: Callable[[], bool] | None = None,
    said: Said | None = None,
) -> None:
    """Explain slides on the workers of a cluster.

    Parameters
    ----------
    client
        Of the cluster.
    work
        What is asked; its model, and its functions, have to be such that pickle takes them.
    jobs
        Slides, in the order in which they are taken.
    told
        Called with each slide as it ends.
    stop
        Asked twice a second; once it answers True, slides are left resumable.
    said
        Called with what workers say of their progress.

    Raises
    ------
    SmoothsalError
        If there is no worker, one has other versions, what is asked cannot be sent, or the
        cluster is gone.
    """
    with commanded(client, work, said) as token:
        alive, present = time.monotonic(), Workers(client, token)
        lending = Lending(client, token)
        waiting, running = deque(jobs), dict[Future[Any], SlideJob]()
        left = Counter[str]()
        try:
            while waiting or running:
                if stop is not None and stop():
                    break
                workers = present()
                alive = time.monotonic() if workers else alive
                if time.monotonic() - alive > PATIENCE_S:
                    raise ComputeError(
                        f"all workers have been gone for {PATIENCE_S:g} s; {_START}: it goes on "
                        "where it stopped"
                    )
                while waiting and len(running) < len(workers):
                    job = waiting.popleft()
                    running[_submit(client, token, job)] = job
                lending.tell(
                    workers, {job.store: str(future.key) for future, job in running.items()}
                )
                for future in _ended(client, running):
                    job = running.pop(future)
                    result = _result(future, work, job)
                    left[job.store] += result.state == "running"
                    if result.state == "running" and left[job.store] < MOST_LEFT:
                        waiting.appendleft(job)  # its worker was ended: by a time limit, say
                    elif result.state == "running":
                        told(job, died(work, job, "was lost"))
                    else:
                        told(job, result)
        finally:
            _end(client, token, running, told, work)


def _submit(client: Client, token: str, job: SlideJob) -> Future[Any]:
    # The dashboard groups tasks by what stands before the first hyphen.
    key = f"slide-{job.store.removesuffix('.smoothsal.zarr')}-{token}"
    wants = {computes(token): 1}
    return client.submit(explain_one, token, job, key=key, resources=wants, pure=False)


def _result(future: Future[Any], work: Work, job: SlideJob) -> SlideResult:
    result: SlideResult
    try:
        result, messages = future.result()
    except KilledWorker:
        state = read_state(state_file(work.out, job.store))
        store = work.out / job.store
        if state is None:
            return died(work, job, "was lost")
        if state.at_work:
            # Dask counts deaths; whoever takes the slide up counts those that brought nothing.
            return SlideResult(job.name, None, None, "running", store)
        # What was caught is written: a device that was lost again and again.
        told = SmoothsalError(state.error)
        return SlideResult(job.name, None, told, "failed", store, True)
    except FutureCancelledError as error:
        raise ComputeError(
            f"{job.name}: the scheduler does not know of it any more ({error}); it was restarted, "
            "or somebody else ended the work. The same command goes on where it stopped"
        ) from error
    for message in messages:
        warn_caller(f"{result.name}: {message}")
    # The run was opened over there; this process opens it itself.
    has_run = result.error is None and own_attributes(result.store) is not None
    return replace(result, run=Run(result.store) if has_run else None)


def _ended(client: Client, running: dict[Future[Any], SlideJob]) -> list[Future[Any]]:
    if not running:
        return []
    with suppress(TimeoutError, FuturesCancelledError):  # what is cancelled is done, too
        wait(list(running), timeout=_ASK_S, return_when="FIRST_COMPLETED")
    if client.status != "running":
        raise ComputeError(
            "the scheduler is gone; start it again, and the same command goes on where it stopped"
        )
    return [future for future in running if future.done()]


def _end(
    client: Client,
    token: str,
    running: dict[Future[Any], SlideJob],
    told: Callable[[SlideJob, SlideResult], None],
    work: Work,
) -> None:
    """Have what still runs end at its next pass, and wait for that."""
    if not running or client.status != "running":
        return
    client.run(stop_command, token, on_error="ignore")
    end = time.monotonic() + _END_S
    while running and time.monotonic() < end:
        for future in _ended(client, running):
            job = running.pop(future)
            with suppress(Exception):
                result = _result(future, work, job)
                if result.state not in ("waiting", "running"):
                    told(job, result)
    client.cancel(list(running), force=True)


@contextmanager
def commanded(client: Client, work: Work, said: Said | None = None) -> Iterator[str]:
    """Bring what is asked to all workers of a cluster; yields its token.

    Raises
    ------
    SmoothsalError
        If there is no worker, one has other versions, or what is asked cannot be sent.
    """
    token = secrets.token_hex(3)
    plugin = AtWork(token, _sendable(work), own_versions())
    try:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    except TimeoutError as error:
        raise ComputeError(
            f"the scheduler has no workers after {PATIENCE_S:g} s; {_START}"
        ) from error
    _check_versions(client)
    topic = f"smoothsal-{token}"

    def hear(event: tuple[float, dict[str, Any]]) -> None:
        _, told = event
        if said is not None:
            said(told["what"], Progress(**told["progress"]))

    client.subscribe_topic(topic, hear)
    try:
        _bring(client, plugin)
        if not Workers(client, token)():
            raise ComputeError("no worker can compute what is asked; their logs say why")
        yield token
    finally:
        if client.status == "running":
            client.unsubscribe_topic(topic)
            with suppress(Exception):  # of a worker that never took it
                client.unregister_worker_plugin(plugin.name)


def _bring(client: Client, plugin: AtWork) -> None:
    try:
        client.register_plugin(plugin)
    except SmoothsalError:
        raise
    except Exception as error:
        raise ComputeError(
            f"a worker cannot take what is asked ({error}); its log says more. The model, or a "
            "function of a module, has to be there, too"
        ) from error


@contextmanager
def cluster_crew(
    client: Client, model: Model, settings: Mapping[str, Any], name: str
) -> Iterator[Spread]:
    """A crew for `explain_slide`: the workers of a cluster compute its units.

    Parameters
    ----------
    client
        Of the cluster.
    model
        As `explain_slide` is given it.
    settings
        Further arguments of `explain_slide`.
    name
        Of the slide, for the dashboard.
    """
    with commanded(client, Work(model, [], Path(), None, dict(settings), False)) as token:
        yield Spread(Hands(client, token, name, None), Workers(client, token))


def _sendable(work: Work) -> Work:
    settings = {n: v for n, v in work.settings.items() if n not in TALKING}
    model = work.model.maker() if isinstance(work.model, Model) else work.model
    sent = replace(work, model=model, settings=settings)
    try:
        pickle.dumps(sent)
    except Exception as error:
        raise SettingError(
            f"what is asked cannot be sent to other processes ({error}); give the model by its "
            "name, its folder or a function of a module"
        ) from error
    return sent


def _check_versions(client: Client) -> None:
    """Refuse workers that lack a package or have another version of it.

    Raises
    ------
    SettingError
        Names the first, and what it has.
    """
    modules = [name.replace("-", "_") for name in PACKAGES]
    found: Any = client.get_versions(packages=modules)
    own = found["client"]["packages"]
    for address, worker in found["workers"].items():
        its = {} if worker is None else worker["packages"]
        differing = [
            f"{name} {its.get(name) or 'is missing'} (here {own[name]})"
            for name in modules
            if its.get(name) != own[name]
        ]
        if differing:
            raise SettingError(
                f"worker {address}: {', '.join(differing)}; install the same versions everywhere, "
                "or end that worker"
            )
