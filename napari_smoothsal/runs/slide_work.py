"""The work on one slide of a batch, in whatever process: claim it, explain it, keep its state."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_smoothsal.attribution.map_plan import map_plans
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SettingError, SlideError, SmoothsalError, StoreError
from napari_smoothsal.core.specs import SaliencySpec, Tiling
from napari_smoothsal.models import Model, load_model
from napari_smoothsal.runs.explain import explain_slide
from napari_smoothsal.runs.layout import FINISHED, WITH_ERRORS, own_attributes
from napari_smoothsal.runs.places import Place
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.slide_asked import asked_of
from napari_smoothsal.runs.slide_claim import claimed
from napari_smoothsal.runs.slide_faults import may_pass
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import (
    MOST_DEATHS,
    SlideState,
    StateName,
    called_off,
    deaths_at,
    read_state,
    said_of,
    state_file,
    write_state,
)
from napari_smoothsal.slides import open_slide
from napari_smoothsal.slides.opening import DEFAULT_READER

ModelSource = Model | str | Path | Callable[[], Model]
"""A model, what `load_model` takes, or a function that returns one."""
Specs = Sequence[SaliencySpec] | Callable[[Model], Sequence[SaliencySpec]]
"""Specs, or a function that makes them for a model."""


@dataclass(frozen=True)
class SlideResult:
    """Outcome of one slide of a batch.

    Attributes
    ----------
    name
        Base name of the slide.
    run
        Its run; None where it failed or was not begun.
    error
        What stopped it. Of another process, or of an earlier command, only the message.
    state
        See `SlideState`.
    store
        Folder, or URL, of its store.
    computed
        Whether this command worked on it: not where it was finished, or had failed, before.
    seconds
        Spent on it by this command.
    """

    name: str
    run: Run | None
    error: Exception | None
    state: StateName = "waiting"
    store: Place = field(default_factory=Path)
    computed: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Work:
    """What is asked of every slide of a batch.

    Attributes
    ----------
    model, specs
        Of slides whose manifest names no model, and of all.
    out
        Folder of the stores.
    mpp
        Of slides whose manifest says none.
    settings
        Further arguments of `explain_slide`.
    retry_failed
        Whether slides and tiles that failed are tried again.
    reader
        As of `open_slide`.
    command
        Token of the command, where several processes work for it.
    """

    model: ModelSource | None
    specs: Specs
    out: Place
    mpp: float | None
    settings: Mapping[str, Any]
    retry_failed: bool
    reader: str = DEFAULT_READER
    command: str = ""


class ModelInUse:
    """The model of the slide at hand: loaded when its first comes, let go when another's does.

    Parameters
    ----------
    given
        Where a slide names none.
    specs
        Of each model.
    """

    def __init__(self, given: ModelSource | None, specs: Specs) -> None:
        self._given = given
        self._specs = specs
        self._name: str | None = None
        self._held: tuple[Model, list[SaliencySpec]] | None = None
        self._error: Exception | None = None

    def get(self, name: str | None) -> tuple[Model, list[SaliencySpec]]:
        """The model of a name (None: the one that was given) and its specs.

        Raises
        ------
        SmoothsalError
            If it cannot be loaded, or a spec names what it does not have: at every call.
        """
        if name != self._name or (self._held is None and self._error is None):
            self._name, self._held, self._error = name, None, None
            try:
                self._held = self._loaded(name)
            except Exception as error:  # noqa: BLE001 - raised below, for each of its slides
                self._error = error
        if self._held is None:
            assert self._error is not None
            raise self._error
        return self._held

    def _loaded(self, name: str | None) -> tuple[Model, list[SaliencySpec]]:
        source = self._given if name is None else name
        if source is None:
            raise SettingError(
                "no model is named for this slide; give one, or fill the manifest's column 'model'"
            )
        if isinstance(source, Model):
            model = source
        else:
            model = load_model(source) if isinstance(source, str | Path) else source()
        specs = self._specs(model) if callable(self._specs) else self._specs
        map_plans(model, specs, "slide")
        return model, list(specs)


class SlideWork:
    """Works on one slide after the other, as long as the process lives.

    Parameters
    ----------
    work
        What is asked.
    models
        Where a model is loaded already; None: of its own.
    """

    def __init__(self, work: Work, models: ModelInUse | None = None) -> None:
        self._work = work
        self.models = models or ModelInUse(work.model, work.specs)

    def explain(self, job: SlideJob, **own: Any) -> SlideResult:
        """Explain a slide, unless another process holds it, it is finished, or failed before.

        Whatever stops it is in the result; only an interruption is raised.

        Parameters
        ----------
        job
            The slide.
        **own
            Arguments of `explain_slide` of this slide alone.
        """
        out = self._work.out
        with contextlib.ExitStack() as claim:
            try:
                command, stop = self._work.command, own.get("stop")
                claim.enter_context(claimed(out, job.store, command, stop))
            except (StoreError, OSError) as error:
                held = not isinstance(error, OSError)  # which nobody answering is, too
                state: StateName = "skipped" if held else "failed"
                return SlideResult(job.name, None, error, state, out / job.store)
            return self._claimed(job, own)

    def _claimed(self, job: SlideJob, own: Mapping[str, Any]) -> SlideResult:
        out, store = self._work.out, self._work.out / job.store
        before = read_state(state_file(out, job.store))
        spent = 0.0 if before is None else before.seconds
        state = self._begun(job, spent)
        began = time.monotonic()
        model: Model | None = None
        specs = [] if callable(self._work.specs) else list(self._work.specs)
        try:
            model, specs = self.models.get(job.model)
            asked = self._asked(job, model, specs)
            state = state.model_copy(update={"model": model.card.name, "asked": asked})
            retry = self._work.retry_failed
            if before is not None and _stays_failed(before, asked) and not retry:
                told = SmoothsalError(f"{before.error} (tried before; --retry-failed tries again)")
                return SlideResult(job.name, None, told, "failed", store)
            found = own_attributes(store)
            status = None if found is None else found["status"]
            reached = 0 if status is None or status in FINISHED else _reached(store)
            deaths = 0 if retry else deaths_at(before, asked, reached)
            if deaths >= MOST_DEATHS:
                return replace(died(self._work, job, "died"), computed=False)
            if deaths:
                warn_caller(f"{job.name}: the process that worked on it died; it is taken over")
            begun = {"state": "running", "at_work": True, "deaths": deaths, "reached": reached}
            state = state.model_copy(update=begun)
            write_state(out, state)
            run = self._explained(job, model, specs, store, own)
        except Exception as error:  # noqa: BLE001 - whatever stops one slide, others may go on
            seconds = time.monotonic() - began
            failed: dict[str, Any] = {
                "state": "failed",
                "error": said_of(error, Path(job.source).parent, out, Path.home()),
                "lasting": not may_pass(error),
                # Anew: a slide that vanished meanwhile is another one once it is back.
                "asked": self._asked(job, model, specs),
                "seconds": spent + seconds,
                "at_work": False,
            }
            write_state(out, state.model_copy(update=failed | _counts(store)))
            return SlideResult(job.name, None, error, "failed", store, True, seconds)
        except BaseException:  # Ctrl-C, which the slide has no part in
            if state.at_work:
                called_off(out, job.store)
            raise
        seconds = time.monotonic() - began
        again = self._work.retry_failed and status == WITH_ERRORS
        computed = status not in FINISHED or again
        done: dict[str, Any] = {
            "state": run.status,
            "seconds": spent + seconds * computed,
            "at_work": False,
        }
        write_state(out, state.model_copy(update=done | _counts(store)))
        return SlideResult(job.name, run, None, done["state"], store, computed, seconds)

    def _begun(self, job: SlideJob, spent: float) -> SlideState:
        region = settings_of(job, self._work.settings).get("region")
        model = "" if job.model is None else Path(job.model).name
        return SlideState(
            slide=job.name, store=job.store, region=region, model=model, seconds=spent
        )

    def _explained(
        self,
        job: SlideJob,
        model: Model,
        specs: list[SaliencySpec],
        store: Place,
        own: Mapping[str, Any],
    ) -> Run:
        settings = settings_of(job, self._work.settings) | dict(own)
        if self._work.retry_failed:
            settings["retry_failed"] = True
        mpp, reader = job.mpp or self._work.mpp, self._work.reader
        with open_slide(job.source, mpp=mpp, reader=reader) as slide:
            return explain_slide(slide, model, specs, store, **settings)

    def _asked(self, job: SlideJob, model: Model | None, specs: Sequence[SaliencySpec]) -> str:
        work = self._work
        return asked_of(job, model, specs, work.settings, job.mpp or work.mpp, work.reader)


def settings_of(job: SlideJob, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `explain_slide` with what a manifest says of one slide."""
    own = dict(settings)
    if job.region is not None:
        own["region"] = job.region
    if job.mask is not None:
        own["tiling"] = (own.get("tiling") or Tiling()).model_copy(update={"tissue": job.mask})
    return own


def _stays_failed(state: SlideState, asked: str) -> bool:
    return state.state == "failed" and state.lasting and state.asked == asked


def _counts(store: Place) -> dict[str, int]:
    """Tiles of a run, as the state tells them; nothing where it has no readable store."""
    try:
        status = Run(store).tiles["status"]
    except (SmoothsalError, OSError, KeyError, ValueError):
        return {}
    return {
        "tiles": len(status),
        "failed_tiles": int((status == "failed").sum()),
        "not_explained": int((status == "not_explained").sum()),
    }


def _reached(store: Place) -> int:
    """How far a run is: tiles that were looked at, and again those that were explained."""
    try:
        status = Run(store).tiles["status"]
    except (SmoothsalError, OSError, KeyError, ValueError):
        return 0
    left = int((status == "not_explained").sum())
    return 2 * int((status != "pending").sum()) - left


def died(work: Work, job: SlideJob, how: str) -> SlideResult:
    """The result, and the state, of a slide at which process after process ended.

    Parameters
    ----------
    work, job
        What was asked of which slide.
    how
        The last one ended, as a verb.
    """
    store = work.out / job.store
    error = SlideError(
        f"{job.name}: the process that worked on it {how}, and so did the next; its file may crash "
        "the decoder, or its memory may not suffice (a smaller --batch-size needs less)"
    )
    before = read_state(state_file(work.out, job.store))
    state = before or SlideState(slide=job.name, store=job.store, region=job.region)
    failed = {"state": "failed", "error": str(error), "lasting": True, "at_work": False}
    write_state(work.out, state.model_copy(update=failed | _counts(store)))
    return SlideResult(job.name, None, error, "failed", store, True)
