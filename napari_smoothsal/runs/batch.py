"""explain_slides: a list of slides into one folder, each on its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_smoothsal.core.errors import DeviceLostError, SettingError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.runs.choice import Choice
from napari_smoothsal.runs.explain import explain_slide
from napari_smoothsal.runs.packing import PACKING
from napari_smoothsal.runs.places import Place, make_folder, not_on_url, on_url, place_of
from napari_smoothsal.runs.progress import Progress, Report, terminal_bars
from napari_smoothsal.runs.slide_faults import device_lost, first_line
from napari_smoothsal.runs.slide_list import Shard, SlideJob, in_shard, shard_from, slide_jobs
from napari_smoothsal.runs.slide_states import read_state, state_file
from napari_smoothsal.runs.slide_work import (
    ModelInUse,
    ModelSource,
    SlideResult,
    SlideWork,
    Specs,
    Work,
)
from napari_smoothsal.runs.summary import Summary
from napari_smoothsal.slides.opening import DEFAULT_READER
from napari_smoothsal.slides.readers import READERS

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["SlideResult", "explain_slides", "line_of"]


def explain_slides(
    slides: str | Path | Sequence[str | Path],
    model: ModelSource | None,
    specs: Specs,
    out: str | Path | Place,
    *,
    mpp: float | None = None,
    reader: str = DEFAULT_READER,
    where: str | None = None,
    top: int | None = None,
    predict_only: bool = False,
    retry_failed: bool = False,
    shard: Shard | str | None = None,
    devices: Sequence[str] | None = None,
    client: Client | None = None,
    on_slide: Callable[[SlideResult, int, int], None] | None = None,
    **settings: Any,
) -> list[SlideResult]:
    """Explain several slides into one folder; a slide that fails does not stop the others.

    The same call again goes on where it stopped. ``summary.json`` and ``summary.csv`` in the folder
    say after every slide how far all of them are. Several processes may share the folder.

    Parameters
    ----------
    slides
        Slide files, folders of one DICOM slide, folders of slides, or CSV manifests, whose columns
        ``slide``, ``mpp``, ``region``, ``mask`` and ``model`` go before the arguments here.
    model
        As for `explain_slide`, or what `load_model` takes, or a function that returns a model;
        None where a manifest names one for every slide. Several are loaded in turn, each once.
    specs
        As for `explain_slide`; or a function of a model that returns them.
    out
        Folder of the stores, or a URL such as ``s3://bucket/folder``; each is named
        ``<base name of the slide>.smoothsal.zarr``.
    mpp
        Overrides the level-0 micrometres per pixel of every slide.
    reader
        Library that decodes the slides; see `open_slide`.
    where, top
        As for `explain_slide`: which tiles are explained, once all are predicted.
    predict_only
        Predictions only, no maps.
    retry_failed
        Try slides again that failed in an earlier call that asked the same, and tiles that did.
    shard
        ``(i, n)`` or ``"i/n"``: the i-th of n shares, slides i, i + n, i + 2 n, ... of the list,
        for jobs that know nothing of each other. Give all of them the same list.
    devices
        One worker of this machine for each, e.g. ``["cuda:0", "cuda:1"]``. A script then needs
        ``if __name__ == "__main__":``.
    client
        ``distributed.Client`` of a Dask cluster, whose workers explain the slides; they have to
        reach slides and `out` by the same names. Where there are more workers than slides, several
        work on one.
    on_slide
        Called with each slide's result as it ends, how many have ended, and how many there are.
        None: a line on standard error, unless ``progress`` says otherwise.
    **settings
        Further arguments of `explain_slide`.

    Returns
    -------
    list of SlideResult
        In the order of the slides of this shard.

    Raises
    ------
    SmoothsalError
        Before anything is written, if a manifest, a shard or a device cannot work, or the model
        and the specs, where there is one model for all slides.
    ComputeError
        If the workers of a cluster are gone, or none can compute what is asked.
    DeviceLostError
        If the device of this process refuses all further work. Every slide's state is written,
        and the same call in a new process goes on.
    """
    if unknown := settings.keys() - signature(explain_slide).parameters.keys():
        # Here, and not of every slide.
        raise TypeError(f"explain_slides() got an unexpected keyword argument {min(unknown)!r}")
    if predict_only and (where is not None or top is not None):
        raise SettingError("where and top choose tiles to explain, predict_only explains none")
    choice = {name: value for name, value in (("where", where), ("top", top)) if value is not None}
    READERS[reader].load()
    made = [] if predict_only else specs
    work = Work(model, made, place_of(out), mpp, settings | choice, retry_failed, reader)
    if on_url(work.out) and settings.get("pack"):
        raise not_on_url(work.out, PACKING)
    listed = slide_jobs(slides)
    jobs = in_shard(listed, shard_from(shard))
    many = bool(devices) or client is not None
    if many and settings.get("on_plan") is not None:
        raise SettingError("on_plan is of one process; leave it away, or devices and client")
    if devices and client is not None:
        raise SettingError("the workers of a client have their devices; leave devices away")
    check_devices(devices or (), settings.get("compute"))
    models = ModelInUse(work.model, work.specs)
    if len(named := {job.model for job in listed}) == 1:
        # What is wrong with it is wrong for all slides.
        used, _ = models.get(*named)
        Choice(where, top).check(used.card.class_names, used.readout.outcomes)
    summary = Summary(work.out, listed)
    if jobs:
        make_folder(work.out)
        summary.write()
    results: dict[str, SlideResult] = {}
    if on_slide is None and settings.get("progress", True) is True and len(jobs) > 1:
        on_slide = _say

    def told(job: SlideJob, result: SlideResult) -> None:
        results[job.store] = result
        summary.write()
        if on_slide is not None:
            on_slide(result, len(results), len(jobs))

    stop: Callable[[], bool] | None = settings.get("stop")
    order = _ordered(jobs, work.out, largest_first=many)
    try:
        if many and jobs:
            del models  # each worker has its own
            _on_workers(work, order, devices, client, told, stop)
        else:
            slide_work = SlideWork(work, models)
            for job in order:
                if stop is not None and stop():
                    break
                result = slide_work.explain(job)
                told(job, result)
                if result.error is not None and device_lost(result.error):
                    raise _lost(result, len(jobs) - len(results) + 1) from result.error
    finally:  # an interruption, too
        if jobs:
            summary.write()
    unbegun = (SlideResult(job.name, None, None, store=work.out / job.store) for job in jobs)
    return [results.get(job.store, none) for job, none in zip(jobs, unbegun, strict=True)]


def _on_workers(
    work: Work,
    jobs: Sequence[SlideJob],
    devices: Sequence[str] | None,
    client: Client | None,
    told: Callable[[SlideJob, SlideResult], None],
    stop: Callable[[], bool] | None,
) -> None:
    """Explain slides on a cluster, or on workers that are started for it."""
    from napari_smoothsal.runs.local_cluster import local_client
    from napari_smoothsal.runs.on_cluster import explain_on

    progress = work.settings.get("progress", True)
    with contextlib.ExitStack() as stack:
        if client is None:
            assert devices
            client = stack.enter_context(local_client(devices[: len(jobs)]))
            compute = work.settings.get("compute") or Compute()
            own = compute.model_copy(update={"device": "auto"})  # that of each worker
            work = replace(work, settings={**work.settings, "compute": own})
        said: Callable[[str, Progress], None] | None = None
        if progress is True:
            said = stack.enter_context(terminal_bars())
        elif callable(progress):
            said = partial(_without_title, progress)
        explain_on(client, work, jobs, told, stop, said)


def _without_title(report: Report, _title: str, progress: Progress) -> None:
    report(progress)


def check_devices(devices: Sequence[str], compute: Compute | None) -> None:
    """Refuse a device that this machine does not have.

    Raises
    ------
    SettingError
        Of the first.
    """
    from napari_smoothsal.attribution.device import resolve_device

    for device in devices:
        resolve_device((compute or Compute()).model_copy(update={"device": device}))


def line_of(result: SlideResult, ended: int, total: int) -> str:
    """One line about a slide that has ended.

    Parameters
    ----------
    result
        Of the slide.
    ended, total
        How many slides have ended, of how many.
    """
    said: str = result.state.replace("_", " ")
    if result.run is not None:
        said += f", {len(result.run.tiles)} tiles"
    took = f"{result.seconds:.0f} s" if result.computed else "nothing was computed"
    return f"{ended} of {total}: {result.name} {said}, {took}"


def _say(result: SlideResult, ended: int, total: int) -> None:
    sys.stderr.write(line_of(result, ended, total) + "\n")


def _lost(result: SlideResult, left: int) -> DeviceLostError:
    assert result.error is not None
    of = "1 slide is" if left == 1 else f"{left} slides are"
    return DeviceLostError(
        f"{result.name}: the device failed ({first_line(result.error)}), and does nothing more for "
        f"this process. {of} left: the same command, in a new process, goes on with them"
    )


def _ordered(jobs: Sequence[SlideJob], out: Place, *, largest_first: bool) -> list[SlideJob]:
    """Slides of one model after the other's, in the order in which models first come.

    Of several workers the last one is waited for the shorter, the smaller the last slides are.

    Last those that stopped an earlier command, or may have ended its process: if they do so
    again, the others are done.
    """
    first: dict[str | None, int] = {}
    for job in jobs:
        first.setdefault(job.model, len(first))
    states = {job.store: read_state(state_file(out, job.store)) for job in jobs}

    def place(job: SlideJob) -> tuple[bool, int, int]:
        state = states[job.store]
        suspect = state is not None and (state.at_work or state.state == "failed")
        return suspect, first[job.model], -_bytes(job) if largest_first else 0

    return sorted(jobs, key=place)


def _bytes(job: SlideJob) -> int:
    """Size of a slide's file; 0 where it is not known."""
    try:
        return Path(job.source).stat().st_size
    except OSError:
        return 0
