"""Does a slide look like those that a model was made for? Asked once, before a run begins.

A few places are read; what they show is told as warnings and changes no result.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import Pair, RunPlan
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.nuclear_size import (
    MEASURED_MPP,
    PLAUSIBLE_UM,
    NuclearSize,
    nuclear_size,
)
from napari_smoothsal.slides.stain import measured_stain
from napari_smoothsal.slides.tissue import find_tissue

PLACES = 16
_PLACE_PX = 224
"""Side of a place, at the resolution it is measured at."""
_LEAST_TISSUE = 0.5
"""Share of such a place."""
_COARSEST_MPP = 1.1
"""Of a slide whose nuclei are measured: in coarser pixels they are two or three across."""

_NUCLEI: WeakKeyDictionary[Slide, NuclearSize | None] = WeakKeyDictionary()
"""Kept as tissue is: each view of a slide is a run, and looking takes half a second."""


def check_slide(slide: Slide, model: Model, plan: RunPlan) -> None:
    """Warn where stain or nuclei of a slide contradict the model's card or the slide's resolution.

    Parameters
    ----------
    slide, model
        Of the run.
    plan
        Stain is measured in the middles of some of its tiles, nuclei all over the slide's tissue:
        a region may have been drawn around a tumour, whose nuclei are larger than a slide's are.

    Warns
    -----
    UserWarning
        Where the median stain lies outside the card's ``stain_range``, or nuclei look as they do
        where half or twice as many micrometres per pixel are stated as there are. Nothing is
        said of too few of them.
    """
    for message in (_of_stain(slide, model, plan), _of_nuclei(slide)):
        if message is not None:
            warnings.warn(message, stacklevel=3)


def _of_stain(slide: Slide, model: Model, plan: RunPlan) -> str | None:
    wanted = model.card.stain_range
    if wanted is None:
        return None
    side = min(plan.grid.tile_px, _PLACE_PX)
    boxes = (_middle(plan.grid.box(i), plan.grid.scale, side) for i in _some(len(plan)))
    stain = measured_stain(_pixels(slide, boxes, side, plan.resampling))
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


def _of_nuclei(slide: Slide) -> str | None:
    mpp = slide.require_mpp()
    if max(mpp) > _COARSEST_MPP:
        return None
    if slide not in _NUCLEI:
        boxes = _on_tissue(slide, (MEASURED_MPP / mpp[0], MEASURED_MPP / mpp[1]))
        _NUCLEI[slide] = nuclear_size(list(_pixels(slide, boxes, _PLACE_PX)), MEASURED_MPP)
    size = _NUCLEI[slide]
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


def _on_tissue(slide: Slide, scale: Pair) -> Iterator[Box]:
    """Places all over a slide's tissue, at so many level-0 px per px (y, x)."""
    height, width = _PLACE_PX * scale[0], _PLACE_PX * scale[1]
    x0, y0, w, h = slide.bounds
    # Overlapping by half: small slides have few places.
    y, x = np.meshgrid(
        np.arange(y0, y0 + h - height + 1, height / 2),
        np.arange(x0, x0 + w - width + 1, width / 2),
        indexing="ij",
    )
    tissue = find_tissue(slide).fractions(x, y, width, height)
    there = np.argwhere(tissue >= _LEAST_TISSUE)
    for i in _some(len(there)):
        at = tuple(there[i])
        yield Box(float(x[at]), float(y[at]), width, height)


def _middle(tile: Box, scale: Pair, side: int) -> Box:
    """So many px in the middle of a tile, at so many level-0 px per px (y, x)."""
    h, w = side * scale[0], side * scale[1]
    return Box(tile.x + (tile.w - w) / 2, tile.y + (tile.h - h) / 2, w, h)


def _some(count: int) -> list[int]:
    """Of so many places, `PLACES` by chance, always the same."""
    # Evenly chosen, they would fall into few columns of a grid.
    chosen: list[int] = np.random.default_rng(0).permutation(count)[:PLACES].tolist()
    return chosen


def _pixels(
    slide: Slide, boxes: Iterable[Box], side: int, resampling: Resampling = "area"
) -> Iterator[NDArray[np.uint8]]:
    """(side, side, 3) of each box that can be read."""
    for box in boxes:
        try:
            yield slide.read_box(box, (side, side), resampling)
        except SlideError:  # told by the run, where it is computed
            continue
