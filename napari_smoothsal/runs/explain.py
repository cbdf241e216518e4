"""explain_slide: a slide from start to end, resumable at any moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.errors import SettingError, StoreError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.core.thread_priority import give_way
from napari_smoothsal.models import Model
from napari_smoothsal.runs.choice import Choice
from napari_smoothsal.runs.contents import (
    calibrated_images,
    measure_what_is_missing,
    new_store,
    overview_of,
    stitched_images,
)
from napari_smoothsal.runs.crew import Alone, Crew, Order
from napari_smoothsal.runs.layout import FINISHED, check_free_or_own
from napari_smoothsal.runs.packing import PACKING, pack_store, restore
from napari_smoothsal.runs.places import Place, not_on_url, on_url, place_of
from napari_smoothsal.runs.plan import Region, RunPlan, placed_layers, plan_tiles
from napari_smoothsal.runs.progress import Report, terminal_bar
from napari_smoothsal.runs.provenance import check_same, identity
from napari_smoothsal.runs.retry import set_failed_aside
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.slide_check import Looking
from napari_smoothsal.runs.stages import stages_of
from napari_smoothsal.runs.store import StoreWriter, reopen_store
from napari_smoothsal.runs.writer_lock import only_writer
from napari_smoothsal.slides import Slide, open_slide


def explain_slide(
    slide: Slide | str | Path,
    model: Model,
    specs: Sequence[SaliencySpec],
    out: str | Path | Place,
    *,
    region: Region | None = None,
    tiling: Tiling | None = None,
    compute: Compute | None = None,
    where: str | None = None,
    top: int | None = None,
    predict_only: bool = False,
    retry_failed: bool = False,
    pack: bool = False,
    checksum: bool = False,
    progress: bool | Report = True,
    stop: Callable[[], bool] | None = None,
    on_plan: Callable[[RunPlan], None] | None = None,
    crew: Crew | None = None,
) -> Run:
    """Compute saliency maps over a slide and store them as an OME-Zarr pyramid.

    Parameters
    ----------
    slide
        From `open_slide`, or a path.
    model
        From `load_model`, or built with `Model`.
    specs
        Maps to compute; those that share passes share their cost. Empty: predictions only.
    out
        Folder of the store, or a URL such as ``s3://bucket/case.smoothsal.zarr``. A store of the
        same run that is unfinished is resumed, a finished one is opened and returned; what is not
        a store is refused.
    region
        (x, y, w, h) in level-0 px; None: the slide's scanned area.
    tiling, compute
        How it is cut and on what it is computed.
    where
        Explain only tiles of which this is true, once all are predicted:
        ``"p(tumour) > 0.5"``, ``"predicted == tumour and p(tumour) < 0.9"``. The others get the
        status ``not_explained``.
    top
        Explain only so many of them, those with the highest probability of the class that the
        first spec explains (of any class, where that is none or a difference).
    predict_only
        Make no maps, whatever the specs are.
    retry_failed
        Of a store that is complete but for tiles that failed: compute those again.
    pack
        Join the chunks of the complete store into shards: fewer files, see `pack_store`.
    checksum
        Record the SHA-256 of the slide's files, so that the run goes on with the very same alone.
        A store that has one asks for it again.
    progress
        True: a bar in the terminal; or a function that is called with a `Progress`.
    stop
        Asked before every pass of a batch and after it; once it answers True the run stops,
        resumable, with the status ``running``.
    on_plan
        Called with the plan (tiles, tissue mask) before anything is computed or written.
    crew
        Who computes the tiles; None: this process. See `runs.on_cluster.cluster_crew`.

    Returns
    -------
    Run
        Its ``status`` says whether tiles failed. A slide without tissue gives a complete, empty
        store.

    Raises
    ------
    SmoothsalError
        If the run cannot start: see `open_slide`, `plan_tiles`, `explain_tiles`.
    """
    with contextlib.ExitStack() as stack:
        if not isinstance(slide, Slide):
            slide = stack.enter_context(open_slide(slide))
        report: Report = (lambda _progress: None) if progress is False else progress  # type: ignore[assignment]
        if progress is True:
            report = stack.enter_context(terminal_bar(slide.name))
        tiling, compute = tiling or Tiling(), compute or Compute()
        path = place_of(out).resolve()  # one store, whatever it is called
        if pack and on_url(path):
            raise not_on_url(path, PACKING)
        own = check_free_or_own(path)
        final = FINISHED[:1] if retry_failed else FINISHED
        finished = own is not None and own["status"] in final
        # Looking at the slide takes longer than making the network ready.
        beside = stack.enter_context(ThreadPoolExecutor(2, "smoothsal-look", give_way))
        looking = None if finished else Looking(beside, slide, model, report)
        overview = None if own is not None else beside.submit(overview_of, slide)
        explainer = Explainer(model, [] if predict_only else specs, compute, scope="slide")
        choice = choice_of(explainer, where, top)
        plan = plan_tiles(slide, model, tiling, layers=placed_layers(explainer), region=region)
        explainer.check_tiles(plan.grid.tile_px)
        if on_plan is not None:
            on_plan(plan)
        known = own is not None and "sha256" in own["identity"]["slide"]
        sha256 = slide.checksum() if checksum or known else None
        wanted = identity(slide, model, tiling, plan, explainer, choice, sha256)
        stack.enter_context(only_writer(path))
        own = check_free_or_own(path)
        if own is not None:
            check_same(own["identity"], wanted, path.name)
            restore(path)
            if own["status"] in final:
                if pack:
                    pack_store(path)
                return Run(path)
        if own is not None:
            images = stitched_images(plan, explainer, keys=own["maps"])
            writer = reopen_store(path, images)
            batch_size = _as_begun(own["provenance"], explainer, writer)
            if retry_failed:
                set_failed_aside(writer, plan.grid, dict(enumerate(images)))
            measure_what_is_missing(writer, images, explainer, stop)
        else:
            batch_size = explainer.batch_size(plan.grid.tile_px)
            images = calibrated_images(plan, explainer, stop)
            writer = new_store(
                path,
                slide,
                plan,
                explainer,
                images,
                wanted,
                batch_size,
                overview_of(slide) if overview is None else overview.result(),
                chooses=choice is not None,
            )
        writer.set_status("running")
        try:
            computed = all(
                (crew or Alone()).carry_out(
                    Order(
                        stage,
                        slide,
                        writer,
                        batch_size,
                        readers=compute.readers,
                        resampling=plan.resampling,
                        report=looking or report,
                        stop=stop,
                    )
                )
                for stage in stages_of(explainer, plan, images, writer, choice)
            )
        except Exception:
            # Whatever it was, the store must not look as if it still ran; and where even that
            # cannot be written (a full disk), the first error is the one to tell.
            with contextlib.suppress(OSError, StoreError):
                writer.set_status("failed")
            raise
        if looking is not None:
            looking.end()
        if computed:
            writer.finished()
            if pack:
                pack_store(path)
        return Run(path)


def choice_of(explainer: Explainer, where: str | None, top: int | None) -> Choice | None:
    """Which tiles are explained; None: all.

    Raises
    ------
    SettingError
        If tiles are chosen and no map is made of them, or what chooses them means nothing.
    """
    if where is None and top is None:
        return None
    if not explainer.specs:
        raise SettingError(
            "where and top choose the tiles that are explained, and no map is to be made; leave "
            "predict_only away, or these"
        )
    classes = explainer.targets[0].classes
    choice = Choice(where, top, classes[0] if classes is not None and len(classes) == 1 else None)
    choice.check(explainer.model.card.class_names, explainer.model.readout.outcomes)
    return choice


def _as_begun(provenance: Mapping[str, Any], explainer: Explainer, writer: StoreWriter) -> int:
    """The batch size that a store was begun with; passes as large as memory allowed then."""
    batch_size = int(provenance["batch_size"])
    # Where memory ran out in the first attempt, it would again.
    limit = min([batch_size, *(f["rows_per_pass"] for f in provenance["fallbacks"])])
    asked = explainer.compute.batch_size
    if asked != "auto" and asked < limit:
        # Batches stay as they were cut, and take more passes, each of which needs less memory.
        if len(every := np.arange(len(writer.status()))):
            writer.add_fallback("a smaller batch was asked for on resuming", every, asked)
        limit = asked
    explainer.rows.limit = int(limit)
    return batch_size
