"""explain_slide: plan, read, explain, stitch, write.

Reading (threads), computing (this thread) and writing (one thread) overlap, with bounded
queues between them. Batches are cut once from the plan, so that a resumed run computes the
same batches and, on the CPU, the same bits.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Stopped, normal_magnitudes
from napari_smoothsal.attribution.base import verbs_of
from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.class_pyramid import ClassPyramid, colours_of
from napari_smoothsal.runs.keys import map_keys
from napari_smoothsal.runs.layout import (
    DONE,
    FAILED,
    FINISHED,
    PER_MAP,
    check_free_or_own,
    only_writer,
)
from napari_smoothsal.runs.plan import Region, RunPlan, placed_layers, plan_tiles
from napari_smoothsal.runs.progress import Meter, Report, terminal_bar
from napari_smoothsal.runs.provenance import check_same, identity, public_card, versions
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.saliency_pyramid import SaliencyPyramid
from napari_smoothsal.runs.slide_check import check_slide
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.runs.store import (
    Contents,
    StoreWriter,
    create_store,
    reopen_store,
)
from napari_smoothsal.runs.writing import Batch, WritingThread
from napari_smoothsal.slides import Slide, open_slide
from napari_smoothsal.slides.reader import TileReader

OVERVIEW_PX = 1024

Overview = tuple[NDArray[np.uint8], tuple[float, float], tuple[float, float]]


def explain_slide(
    slide: Slide | str | Path,
    model: Model,
    specs: Sequence[SaliencySpec],
    out: str | Path,
    *,
    region: Region | None = None,
    tiling: Tiling | None = None,
    compute: Compute | None = None,
    progress: bool | Report = True,
    stop: Callable[[], bool] | None = None,
    on_plan: Callable[[RunPlan], None] | None = None,
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
        Folder of the store. A store of the same run that is unfinished is resumed, a finished
        one is opened and returned; a folder that is not a store is refused.
    region
        (x, y, w, h) in level-0 px; None: the slide's scanned area.
    tiling, compute
        How it is cut and on what it is computed.
    progress
        True: a bar in the terminal; or a function that is called with a `Progress`.
    stop
        Asked before every pass of a batch and after it; once it answers True the run stops,
        resumable, with the status ``running``.
    on_plan
        Called with the plan (tiles, tissue mask) before anything is computed or written.

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
        tiling, compute, path = tiling or Tiling(), compute or Compute(), Path(out)
        own = check_free_or_own(path)
        explainer = Explainer(model, specs, compute, scope="slide")
        layers = placed_layers(explainer)
        plan = plan_tiles(slide, model, tiling, layers=layers, region=region)
        explainer.check_tiles(plan.grid.tile_px)
        if on_plan is not None:
            on_plan(plan)
        wanted = identity(slide, model, tiling, plan, explainer)
        stack.enter_context(only_writer(path))
        own = check_free_or_own(path)
        if own is not None:
            check_same(own["identity"], wanted, path.name)
            if own["status"] in FINISHED:
                return Run(path)
        check_slide(slide, model)
        if own is not None:
            images = stitched_images(plan, explainer, keys=own["maps"])
            writer = reopen_store(path, images)
            batch_size = int(own["provenance"]["batch_size"])
            # Where memory ran out in the first attempt, it would again.
            fallbacks = own["provenance"]["fallbacks"]
            explainer.rows.limit = min([batch_size, *(f["rows_per_pass"] for f in fallbacks)])
        else:
            batch_size = explainer.batch_size(plan.grid.tile_px)
            overview = overview_of(slide)
            images = calibrated_images(plan, explainer, stop)
            writer = new_store(path, slide, plan, explainer, images, wanted, batch_size, overview)
        writer.set_status("running")
        try:
            finished = _run(
                slide, explainer, plan, images, writer, batch_size, compute, report, stop
            )
        except Exception:
            # Whatever it was, the store must not look as if it still ran; and where even that
            # cannot be written (a full disk), the first error is the one to tell.
            with contextlib.suppress(OSError):
                writer.set_status("failed")
            raise
        if finished:
            writer.finished()
        return Run(path)


def new_store(
    path: Path,
    slide: Slide,
    plan: RunPlan,
    explainer: Explainer,
    images: Sequence[Stitched],
    wanted: Mapping[str, Any],
    batch_size: int,
    overview: Overview,
) -> StoreWriter:
    """An empty store for a run.

    Parameters
    ----------
    path
        Of its folder, which is not there yet.
    slide, plan, explainer
        The run.
    images
        What it will hold.
    wanted
        Its `identity`.
    batch_size
        Tiles per batch.
    overview
        See `overview_of`.
    """
    card = explainer.model.card
    keys = [image.key for image in images if isinstance(image, SaliencyPyramid)]
    provenance = {
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "batch_size": batch_size,
        "batch_norms_folded": explainer.network.folded,
        "fallbacks": [],
        "card": public_card(card),
    }
    contents = Contents(
        images,
        keys,
        _empty_columns(plan, len(card.class_names), len(keys)),
        slide.require_mpp(),
        {"status": "running", "identity": dict(wanted), "provenance": provenance},
        overview,
    )
    return create_store(path, contents)


def stitched_images(
    plan: RunPlan,
    explainer: Explainer,
    normal: Sequence[float | None] = (),
    keys: Sequence[str] = (),
) -> list[Stitched]:
    """What a run's store holds: a map for each spec, and the dense prediction if there is one.

    Parameters
    ----------
    plan, explainer
        The run.
    normal
        For each spec, `normal_magnitudes`; empty where they are recorded already.
    keys
        For each spec, its map's key; empty where they are to be made. A store keeps its own.
    """
    normal = normal or [None] * len(explainer.specs)
    keys = keys or map_keys(explainer.specs, [target.label for target in explainer.targets])
    pyramids = _saliency_pyramids(plan, explainer, normal, keys)
    return [*pyramids, *_class_pyramid(plan, explainer.model)]


def calibrated_images(
    plan: RunPlan, explainer: Explainer, stop: Callable[[], bool] | None = None
) -> list[Stitched]:
    """The same of a new store: what full colour means is measured."""
    # In the precision that was chosen: choosing takes longer than measuring.
    compute = explainer.compute.model_copy(update={"precision": explainer.device.precision})
    try:
        normal = normal_magnitudes(
            explainer.model, explainer.specs, compute, "slide", explainer.networks, stop
        )
    except Stopped:
        normal = []  # each map is its own measure then
    return stitched_images(plan, explainer, normal)


def _run(
    slide: Slide,
    explainer: Explainer,
    plan: RunPlan,
    images: Sequence[Stitched],
    writer: StoreWriter,
    batch_size: int,
    compute: Compute,
    report: Report,
    stop: Callable[[], bool] | None,
) -> bool:
    grid = plan.grid
    with WritingThread(writer, plan, images, batch_size) as writing:
        todo = writing.open_batches()
        before = len(grid) - sum(len(indices) for indices in todo)
        meter = Meter(len(grid), before, report)
        margin = explainer.margin
        boxes = [[grid.box(int(i), margin) for i in indices] for indices in todo]
        side = grid.tile_px + 2 * margin
        with TileReader(slide, side, threads=compute.readers, resampling=plan.resampling) as reader:
            for indices, tiles in zip(todo, reader.batches(boxes), strict=True):
                readable = np.array([error is None for error in tiles.errors])
                # Every batch goes through the network whole, unreadable tiles as glass: the same
                # shapes take the same kernels, so its other tiles do not depend on a failure.
                batch = torch.from_numpy(tiles.images).permute(0, 3, 1, 2)
                places = [(int(y), int(x)) for y, x in grid.origins[indices]]
                before = len(explainer.fallbacks)
                try:
                    explanation = explainer.begin(batch, places, margin=margin)
                    while not explanation.finished:
                        explanation.step(stop=stop)
                        meter.within(len(indices) * explanation.share)
                    result = explainer.finish(explanation, stop)
                except Stopped:
                    break
                for what in explainer.fallbacks[before:]:
                    writer.add_fallback(what, indices, explainer.rows.limit)
                finite = result.finite.numpy()
                _tell(tiles.errors, finite, readable)
                status = np.where(readable & finite, DONE, FAILED).astype(np.uint8)
                writing.put(Batch(indices, result, status))
                meter.add(len(indices), int((status == FAILED).sum()))
                if stop is not None and stop():
                    break
            else:
                writing.finish()
                return True
    return False


def _tell(
    errors: Sequence[Exception | None], finite: NDArray[np.bool_], readable: NDArray[np.bool_]
) -> None:
    unreadable = [error for error in errors if error is not None]
    if unreadable:
        more = f" ({len(unreadable)} tiles of this batch)" if len(unreadable) > 1 else ""
        warnings.warn(f"{unreadable[0]}{more}", stacklevel=4)
    strange = int((~finite & readable).sum())
    if strange:
        warnings.warn(
            f"{strange} tile(s) gave logits or maps that are not finite; they are marked as failed",
            stacklevel=4,
        )


def _saliency_pyramids(
    plan: RunPlan,
    explainer: Explainer,
    normal: Sequence[float | None],
    keys: Sequence[str],
) -> list[SaliencyPyramid]:
    labels = [target.label for target in explainer.targets]
    limits_of = explainer.model.calibration_of
    return [
        SaliencyPyramid(
            placed.window,
            plan.map_grid(placed.window),
            key,
            index,
            spec.reduction,
            {
                "spec": spec.model_dump(mode="json"),
                "target": label,
                **dict(zip(("positive", "negative"), verbs_of(spec), strict=True)),
                "of_the_target": method.of_the_target,
                "background": explainer.model.readout.background,
                "stride_px": list(layer.stride),
                "centre_px": list(layer.centre),
                "centre_spread_px": layer.centre_spread,
                "strided_convs_above": list(layer.strided_convs_above),
                "displacement": asdict(displacement),
                **_measured(limits_of(spec, label, plan.grid.tile_px), magnitude),
                "changes_network": explainer.plans[index].denoising.changes_network,
                "idle_denoising": explainer.idle_denoising(explainer.plans[index]),
            },
        )
        for index, (key, spec, label, layer, method, displacement, magnitude, placed) in enumerate(
            zip(
                keys,
                explainer.specs,
                labels,
                explainer.layers,
                explainer.methods,
                explainer.displacements,
                normal,
                placed_layers(explainer),
                strict=True,
            )
        )
    ]


def _measured(calibration: Calibration | None, magnitude: float | None) -> dict[str, Any]:
    """What colours of a map mean."""
    limits = None if calibration is None else calibration.model_dump(mode="json")
    return {"normal_magnitude": magnitude, "calibration": limits}


def _class_pyramid(plan: RunPlan, model: Model) -> list[ClassPyramid]:
    """The dense prediction, where the model makes one."""
    if model.output is None:
        return []
    readout = model.readout
    return [
        ClassPyramid(
            model.output.name,
            plan.map_grid(model.output.name),
            readout.outcomes,
            model.output.channels,
            readout.background,
            colours_of(readout.outcomes, model.card.class_colours),
        )
    ]


def _empty_columns(plan: RunPlan, classes: int, maps: int) -> dict[str, NDArray[np.generic]]:
    n = len(plan.grid)
    names = ("x_px", "y_px", "w_px", "h_px")
    columns: dict[str, NDArray[np.generic]] = dict(zip(names, plan.boxes.T, strict=True))
    columns["status"] = np.zeros(n, np.uint8)
    columns["predicted"] = np.full(n, -1, np.int16)
    unknown = np.full(n, np.nan, np.float32)
    columns |= {f"p_{i}": unknown for i in range(classes)}
    columns |= {f"{prefix}_{i}": unknown for prefix in PER_MAP for i in range(maps)}
    return columns


def overview_of(slide: Slide) -> Overview:
    """A small picture of a slide, with (y, x) level-0 px per pixel and place of the first one."""
    picture = slide.thumbnail(OVERVIEW_PX)
    scale = (slide.height / picture.shape[0], slide.width / picture.shape[1])
    # A pixel that averages s level-0 px is centred (s - 1)/2 behind the first of them.
    return picture, scale, ((scale[0] - 1) / 2, (scale[1] - 1) / 2)
