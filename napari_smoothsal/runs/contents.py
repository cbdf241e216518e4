"""What a run's store holds: its images, its table, and what is recorded of the run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Stopped, normal_magnitudes
from napari_smoothsal.attribution.base import verbs_of
from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.models import Model
from napari_smoothsal.runs.class_pyramid import ClassPyramid, colours_of
from napari_smoothsal.runs.keys import map_keys
from napari_smoothsal.runs.layout import PER_MAP
from napari_smoothsal.runs.places import Place
from napari_smoothsal.runs.plan import RunPlan, placed_layers
from napari_smoothsal.runs.provenance import public_card, versions
from napari_smoothsal.runs.saliency_pyramid import SaliencyPyramid
from napari_smoothsal.runs.stitched import Stitched
from napari_smoothsal.runs.store import Contents, StoreWriter, create_store
from napari_smoothsal.slides import Slide

OVERVIEW_PX = 1024

Overview = tuple[NDArray[np.uint8], tuple[float, float], tuple[float, float]]


def new_store(
    path: Place,
    slide: Slide,
    plan: RunPlan,
    explainer: Explainer,
    images: Sequence[Stitched],
    wanted: Mapping[str, Any],
    batch_size: int,
    overview: Overview,
    *,
    chooses: bool = False,
) -> StoreWriter:
    """An empty store for a run.

    Parameters
    ----------
    path
        Of its folder, which is not there yet, or its URL.
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
    chooses
        Whether tiles are chosen once all are predicted.
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
        empty_columns(plan, len(card.class_names), len(keys)),
        slide.require_mpp(),
        {"status": "running", "identity": dict(wanted), "provenance": provenance},
        overview,
        chooses,
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
    return stitched_images(plan, explainer, _normal_magnitudes(explainer, stop))


def measure_what_is_missing(
    writer: StoreWriter,
    images: Sequence[Stitched],
    explainer: Explainer,
    stop: Callable[[], bool] | None = None,
) -> None:
    """Measure what full colour means where the first attempt was stopped before it was known."""
    maps = [image for image in images if isinstance(image, SaliencyPyramid)]
    known = [writer.noted(one.path)["normal_magnitude"] is not None for one in maps]
    if all(known):
        return
    for one, is_known, magnitude in zip(
        maps, known, _normal_magnitudes(explainer, stop), strict=False
    ):
        if magnitude is not None and not is_known:
            writer.note(one.path, {"normal_magnitude": magnitude})


def _normal_magnitudes(explainer: Explainer, stop: Callable[[], bool] | None) -> list[float | None]:
    """Of each spec; none where it was stopped."""
    # In the precision that was chosen: choosing takes longer than measuring.
    compute = explainer.compute.model_copy(update={"precision": explainer.device.precision})
    try:
        return normal_magnitudes(
            explainer.model, explainer.specs, compute, "slide", explainer.networks, stop
        )
    except Stopped:
        return []  # resuming measures them


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


def empty_columns(plan: RunPlan, classes: int, maps: int) -> dict[str, NDArray[np.generic]]:
    """(N,) columns of the tiles' table before anything is known of the N tiles of a plan.

    Parameters
    ----------
    plan
        The tiles.
    classes, maps
        How many of both there are columns of.
    """
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
