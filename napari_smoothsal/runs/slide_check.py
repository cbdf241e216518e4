"""Does a slide look like those that a model was made for? Asked before a run, after a view.

A few places are read; what they show is told as warnings and changes no result.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.core.stain import Pair, Stain
from napari_smoothsal.models import Model
from napari_smoothsal.runs.progress import Progress, Report
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.grid import model_scale
from napari_smoothsal.slides.nuclear_size import (
    MEASURED_MPP,
    PLAUSIBLE_UM,
    NuclearSize,
    nuclear_size,
)
from napari_smoothsal.slides.stain import LEAST_TISSUE, measured_stain
from napari_smoothsal.slides.tissue import find_tissue

PLACES = 16
_SAME_MPP = 0.05
"""By how much, of its own, a resolution may differ from the file's without a word."""
_PLACE_PX = 224
"""Side of a place, at the resolution it is measured at."""
_MOSTLY = 0.5
"""Share of a place that is tissue, where nuclei are measured."""
_MOST_ROWS = 256
"""Of places that are chosen from: of a large slide, not all that there are."""
_COARSEST_MPP = 1.1
"""Of a slide whose nuclei are measured: in coarser pixels they are two or three across."""

_NUCLEI: WeakKeyDictionary[Slide, NuclearSize | None] = WeakKeyDictionary()
_STAIN: WeakKeyDictionary[Slide, dict[tuple[Pair, Resampling], Stain | None]] = WeakKeyDictionary()
"""Kept as tissue is: each view of a slide asks anew, and looking takes a second."""


def check_slide(slide: Slide, model: Model) -> None:
    """Warn where stain or nuclei of a slide contradict the model's card or the slide's resolution.

    Parameters
    ----------
    slide, model
        Of a run, whatever its region: one may have been drawn around a tumour, whose nuclei are
        larger, and whose stain is darker, than a slide's are.

    Warns
    -----
    UserWarning
        Where part of the slide cannot be read; where another resolution than the file's is used;
        where the median stain lies outside the card's ``stain_range``; where nuclei look as they
        do where half or twice as many micrometres per pixel are stated as there are. Nothing is
        said of too few of them.
    """
    for remark in _remarks_on(slide, model):
        warn_caller(remark)


class Looking:
    """`check_slide` beside a run that does not wait for it: it warns once it has seen enough.

    Of damage it warns before the first tile: whoever plans tiles has waited for the tissue anyway.

    Parameters
    ----------
    beside
        Where it looks.
    slide, model
        See `check_slide`.
    report
        Called with the progress of the run.
    """

    def __init__(self, beside: Executor, slide: Slide, model: Model, report: Report) -> None:
        self._damage: Future[str | None] | None = beside.submit(_of_damage, slide)
        self._found = beside.submit(_of_looks, slide, model)
        self._report, self._told = report, False

    def __call__(self, progress: Progress) -> None:
        """Report progress, and warn where there is something to warn of by now."""
        self._tell_damage()
        if self._found.done():
            self.end()
        self._report(progress)

    def end(self) -> None:
        """Warn, where that has not been done; waits for what there is to say."""
        self._tell_damage()
        if not self._told:
            self._told = True
            for remark in self._found.result():
                warn_caller(remark)

    def _tell_damage(self) -> None:
        if self._damage is not None:
            damage, self._damage = self._damage.result(), None
            if damage is not None:
                warn_caller(damage)


def _remarks_on(slide: Slide, model: Model) -> list[str]:
    found = (_of_damage(slide), *_of_looks(slide, model))
    return [remark for remark in found if remark is not None]


def _of_looks(slide: Slide, model: Model) -> list[str]:
    found = (_of_file(slide), _of_stain(slide, model), _of_nuclei(slide))
    return [remark for remark in found if remark is not None]


def _of_damage(slide: Slide) -> str | None:
    words = find_tissue(slide).unreadable_words()
    if not words:
        return None
    return (
        f"slide {slide.name!r}: {words}; the file is damaged there. That part counts as tissue, so "
        "that its tiles are tried and listed as failed, and it is empty in the overview. Copy the "
        "file anew"
    )


def _of_file(slide: Slide) -> str | None:
    given, stated = slide.require_mpp(), slide.file_mpp
    if stated is None or np.allclose(given, stated, rtol=_SAME_MPP):
        return None
    return (
        f"slide {slide.name!r}: its file says {max(stated):.3g} um per pixel, and the "
        f"{max(given):.3g} that were given are used"
    )


def _of_stain(slide: Slide, model: Model) -> str | None:
    wanted = model.card.stain_range
    if wanted is None:
        return None
    scale = model_scale(slide, model.card.input_mpp, upsample=True)
    kept, key = _STAIN.setdefault(slide, {}), (scale, model.card.resampling)
    if key not in kept:
        kept[key] = measured_stain(_places(slide, scale, LEAST_TISSUE, model.card.resampling))
    stain = kept[key]
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
        scale = (MEASURED_MPP / mpp[0], MEASURED_MPP / mpp[1])
        _NUCLEI[slide] = nuclear_size(list(_places(slide, scale, _MOSTLY)), MEASURED_MPP)
    size = _NUCLEI[slide]
    low, high = PLAUSIBLE_UM
    if size is None or low <= size.diameter_um <= high:
        return None
    stated, direction = max(mpp), "large" if size.diameter_um > high else "small"
    return (
        f"slide {slide.name!r}: at {stated:.3g} um per pixel nuclei look {size.diameter_um:.2f} um "
        f"across, and {low:.2f} to {high:.2f} are usual by this measure: the value may be too "
        f"{direction}, and the model would see tissue at a wrong scale. Compare it with the "
        "scanner's magnification (40x is about 0.25, 20x about 0.5), and give the right one as "
        "--mpp"
    )


def _places(
    slide: Slide, scale: Pair, least: float, resampling: Resampling = "area"
) -> Iterator[NDArray[np.uint8]]:
    """Some places of a slide's tissue, none over another.

    Parameters
    ----------
    slide
        To be looked at, within its bounds.
    scale
        Level-0 px per px (y, x).
    least
        Share of a place that is tissue.
    resampling
        How they are made of finer pixels.

    Yields
    ------
    NDArray[np.uint8]
        (side, side, 3), of `_PLACE_PX` or of what fits into a narrow slide.
    """
    x0, y0, w, h = slide.bounds
    side = int(min(_PLACE_PX, h / scale[0], w / scale[1]))
    if side < 1:
        return
    height, width = side * scale[0], side * scale[1]
    y, x = np.meshgrid(
        np.arange(y0, y0 + h - height + 1e-6, max(height, h / _MOST_ROWS)),
        np.arange(x0, x0 + w - width + 1e-6, max(width, w / _MOST_ROWS)),
        indexing="ij",
    )
    tissue = find_tissue(slide).fractions(x, y, width, height)
    there = np.argwhere(tissue >= least)
    # By chance, always the same: evenly, they would fall into few columns of the grid.
    for row, column in np.random.default_rng(0).permutation(there)[:PLACES]:
        box = Box(float(x[row, column]), float(y[row, column]), width, height)
        try:
            yield slide.read_box(box, (side, side), resampling)
        except SlideError:  # other places tell as much; a run lists its own that cannot be read
            continue
