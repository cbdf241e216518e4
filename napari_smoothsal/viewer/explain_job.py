"""From what is chosen to a job: explain a view, a region, a slide; show the input of one tile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_smoothsal.core.specs import Tiling
from napari_smoothsal.viewer.asked import Explain, ShowInput, SlideFile, SlidePixels
from napari_smoothsal.viewer.asking import Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.drawn_region import DrawnRegion, drawn_region
from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.placement import Part
from napari_smoothsal.viewer.requests import store_path

VIEW: Part = "view"
REGION: Part = "region"
SLIDE: Part = "slide"
INPUT = "input"


def explain_job(
    viewer: Any, chosen: Chosen, what: Part, scratch: Path, folder: str, *, estimated: bool = False
) -> Job:
    """Explain a view, what is drawn, or the slide.

    Parameters
    ----------
    viewer, chosen, what
        Of what is in view in which viewer, and as set there.
    scratch
        Folder of the job's own.
    folder
        Where stores are kept.
    estimated
        Whether only an estimate is wanted first.

    Raises
    ------
    NotExplainableError
        Where it is not in view, nothing is drawn, or there is no folder.
    """
    slide, view = chosen.slide, what == VIEW
    region: Region | None = None
    drawn: DrawnRegion | None = None
    tiling = chosen.tiling
    if view:
        region = slide.view(viewer)
        out = scratch / "view.smoothsal.zarr"
    else:
        if what == REGION:
            drawn = drawn_region(viewer, slide)
            region, tiling = drawn.region, drawn.within(tiling, scratch)
        settings: tuple[object, ...] = (chosen.tiling, chosen.compute.precision)
        if chosen.model.given_mpp is not None:
            settings += (chosen.model.given_mpp,)
        if not chosen.which.all:
            settings += (chosen.which,)
        if chosen.limits:  # which a store keeps
            settings += (chosen.limits,)
        out = store_path(slide, folder, chosen.model.name, chosen.spec, drawn, settings)
    sent, steps = slide.handed_over(region, chosen.model.tile_um, scratch)

    def make(number: int) -> Explain:
        return explain_request(number, chosen, sent, tiling, region, out, view=view)

    overlay = Overlay(viewer, slide.layer, slide.mpp, part=what, settings=chosen.settings)
    return Job(what, overlay, scratch, make, steps, view, estimated, slide)


def input_job(viewer: Any, chosen: Chosen, scratch: Path) -> Job:
    """Show what the model gets of the tile in the middle of the view.

    Raises
    ------
    NotExplainableError
        Where the slide is not in view.
    """
    slide = chosen.slide
    region = slide.view(viewer)
    sent: SlideFile | SlidePixels
    steps: Iterator[None]
    sent, steps = slide.handed_over(region, chosen.model.tile_um, scratch)

    def make(number: int) -> ShowInput:
        explain = explain_request(number, chosen, sent, chosen.tiling, region, None, view=True)
        return ShowInput(id=number, explain=explain, path=str(scratch / "input.npy"))

    return Job(INPUT, None, scratch, make, steps, slide=slide)


def explain_request(
    number: int,
    chosen: Chosen,
    sent: SlideFile | SlidePixels,
    tiling: Tiling,
    region: Region | None,
    out: Path | None,
    *,
    view: bool,
) -> Explain:
    """The request itself.

    Parameters
    ----------
    number
        Its id.
    chosen
        What is set in the dock.
    sent, tiling, region
        How the engine gets the slide, how it is cut, and the part that is meant.
    out
        Folder of the store; None where nothing is stored.
    view
        Whether it is looked at while it grows, and refused if too large.
    """
    model, compute = chosen.model, chosen.compute
    if (view or out is None) and compute.batch_size == "auto":
        compute = compute.model_copy(update={"batch_size": model.view_batch})
    return Explain(
        id=number,
        slide=sent,
        model=model.model,
        model_mpp=model.given_mpp,
        spec=chosen.spec,
        tiling=tiling,
        compute=compute,
        region=region,
        out="" if out is None else str(out.absolute()),
        view=view,
        max_tiles=model.most_view_tiles if view else None,
        **({} if view else chosen.which.given()),
    )
