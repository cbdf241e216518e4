"""Does a slide look like those that a model was made for? Asked once, before a run begins.

A few places are read; what they show is told as warnings and changes no result.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import RunPlan
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.nuclear_size import MEASURED_MPP, PLAUSIBLE_UM, nuclear_size
from napari_smoothsal.slides.stain import measured_stain

PLACES = 16
_PLACE_PX = 224
"""Side of a place, at the resolution it is measured at."""
_COARSEST_MPP = 1.1
"""Of a slide whose nuclei are measured: in coarser pixels they are two or three across."""


def check_slide(slide: Slide, model: Model, plan: RunPlan) -> None:
    """Warn where stain or nuclei of a slide contradict the model's card or the slide's resolution.

    Parameters
    ----------
    slide, model
        Of the run.
    plan
        Places are the middles of some of its tiles.

    Warns
    -----
    UserWarning
        Where the median stain lies outside the card's ``stain_range``, or nuclei look as they do
        where half or twice as many micrometres per pixel are stated as there are. Nothing is
        said of too few of them, nor of those in a region of the slide.
    """
    for message in (_of_stain(slide, model, plan), _of_nuclei(slide, plan)):
        if message is not None:
            warnings.warn(message, stacklevel=3)


def _of_stain(slide: Slide, model: Model, plan: RunPlan) -> str | None:
    wanted = model.card.stain_range
    if wanted is None:
        return None
    side = min(plan.grid.tile_px, _PLACE_PX)
    stain = measured_stain(_places(slide, plan, plan.grid.scale, side, plan.resampling))
    outside = [] if stain is None else wanted.outside(stain)
    if not outside:
        return None
    remedy = (
        "tiles are brought to the model's stain, which has its limits"
        if model.card.stain_normalisation is not None
        else "what the model says of such tissue was not validated"
    )
    return (
        f"slide {slide.name!r} is stained otherwise than those that model {model.card.name!r} was "
        f"made for, by mean optical density: {'; '.join(outside)}; {remedy}"
    )


def _of_nuclei(slide: Slide, plan: RunPlan) -> str | None:
    mpp = slide.require_mpp()
    # A region may have been drawn around a tumour, whose nuclei are larger than a slide's are.
    if max(mpp) > _COARSEST_MPP or plan.region != slide.bounds:
        return None
    scale = (MEASURED_MPP / mpp[0], MEASURED_MPP / mpp[1])
    size = nuclear_size(list(_places(slide, plan, scale, _PLACE_PX)), MEASURED_MPP)
    low, high = PLAUSIBLE_UM
    if size is None or low <= size.diameter_um <= high:
        return None
    stated, direction = max(mpp), "large" if size.diameter_um > high else "small"
    return (
        f"slide {slide.name!r}: at its stated {stated:.3g} um per pixel nuclei look "
        f"{size.diameter_um:.2g} um across, and {low:.2g} to {high:.2g} are usual by this measure: "
        f"the value may be too {direction}, and the model would see tissue at a wrong scale. "
        "Compare it with the scanner's magnification (40x is about 0.25, 20x about 0.5), and "
        "correct it with --mpp"
    )


def _places(
    slide: Slide,
    plan: RunPlan,
    scale: tuple[float, float],
    side: int,
    resampling: Resampling = "area",
) -> Iterator[NDArray[np.uint8]]:
    """Middles of tiles all over the plan, (side, side, 3), at so many level-0 px per px (y, x)."""
    h, w = side * scale[0], side * scale[1]
    # By chance, always the same: evenly, they would fall into few columns of the grid.
    for index in np.random.default_rng(0).permutation(len(plan))[:PLACES].tolist():
        box = plan.grid.box(index)
        around = Box(box.x + (box.w - w) / 2, box.y + (box.h - h) / 2, w, h)
        try:
            yield slide.read_box(around, (side, side), resampling)
        except SlideError:  # told by the run, where it is computed
            continue
