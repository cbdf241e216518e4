"""examine_slide: does a slide open, does it know its resolution, and can it be read everywhere?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from napari_smoothsal.core.errors import SlideError, SmoothsalError
from napari_smoothsal.core.findings import Finding, note, ok, some_of, wrong
from napari_smoothsal.slides.base import Slide
from napari_smoothsal.slides.opening import open_slide
from napari_smoothsal.slides.threads import default_threads
from napari_smoothsal.slides.tissue import TissueMask, find_tissue

REGION_PX = 512
PLACES = 32
"""Regions of each level that are read, unless all are."""
USUAL_MPP = (0.05, 4.0)
SQUARE = 0.05
"""By how much pixels may differ from squares without a word."""
LARGE_PX = 8192
COPY = "copy the file anew from the scanner or archive; a run records such tiles as failed"
OPEN_ANEW = "copy the file anew from the scanner or archive, if it is a slide"
UNSEEN = (
    "damage that a JPEG decoder does not notice cannot be seen: compare --sha256 with the original"
)

Place = tuple[int, int, int]
"""x and y in level-0 px, and the level."""


def examine_slide(
    path: str | Path,
    mpp: float | None = None,
    *,
    thorough: bool = False,
    sha256: bool = False,
) -> tuple[Finding, ...]:
    """Open a slide and read it in places on every level.

    Parameters
    ----------
    path
        See `open_slide`.
    mpp
        Micrometres per level-0 px, instead of what the file says.
    thorough
        Read all of its tissue.
    sha256
        Hash the file, to compare it with the original's hash.

    Raises
    ------
    SlideError
        If there is nothing.
    """
    path = Path(path)
    if not path.exists():
        raise SlideError(f"{path.name}: there is no such file")
    hashed = [_hashed(path)] if sha256 else []
    try:
        slide = open_slide(path, mpp=mpp)
    except SlideError as error:
        return (wrong("opening", str(error), OPEN_ANEW), *hashed)
    with slide:
        try:
            survey = slide.survey(1024)[1]
            tissue = find_tissue(slide)
            findings = [_tissue(tissue), _read(slide, tissue, float(survey.mean()), thorough)]
        except SmoothsalError as error:
            findings = [wrong("reading", str(error), COPY)]
        size = f"{slide.width} x {slide.height} px, {slide.vendor}"
        return (ok("opening", size), _resolution(slide), _levels(slide), *findings, *hashed)


def _resolution(slide: Slide) -> Finding:
    if slide.mpp is None:
        said = "neither the file nor --mpp says how many micrometres a pixel has"
        return wrong("resolution", said, "give --mpp: 0.25 for a 40x scan, 0.5 for a 20x scan")
    y, x = slide.mpp
    said = f"{y:.4g} um per pixel" if abs(y / x - 1) < 1e-3 else f"{y:.4g} x {x:.4g} um per pixel"
    low, high = USUAL_MPP
    if not low <= min(x, y) <= max(x, y) <= high:
        remedy = "compare it with the scanner's magnification, and give the right one as --mpp"
        return note("resolution", f"{said}: slides have {low:g} to {high:g}", remedy)
    if abs(y / x - 1) > SQUARE:
        return note("resolution", f"{said}: pixels are usually square", "if wrong, give --mpp")
    return ok("resolution", said)


def _levels(slide: Slide) -> Finding:
    downsamples = ", ".join(f"1:{d:.4g}" for d in slide.level_downsamples)
    said = f"{len(slide.level_dimensions)} ({downsamples})"
    if max(slide.level_dimensions[-1]) > LARGE_PX:
        remedy = "it works, slowly; a tiled pyramidal TIFF made of it is quicker"
        return note("levels", f"{said}; the coarsest is still large", remedy)
    return ok("levels", said)


def _tissue(tissue: TissueMask) -> Finding:
    said = f"{100 * tissue.share:.1f} % of the slide"
    if not tissue.share:
        return note("tissue", said, "look at `smoothsal info --picture`, or give --tissue")
    if tissue.unreadable is not None:
        stained = 100 * (tissue.share - tissue.unreadable_share)
        said = f"{stained:.1f} % of the slide; {tissue.unreadable_words()} and counts as tissue"
        return note("tissue", said, "so that a run tries its tiles, and lists them as failed")
    return ok("tissue", said)


def _read(slide: Slide, tissue: TissueMask, damaged: float, thorough: bool) -> Finding:
    places = [
        place
        for level in range(len(slide.level_dimensions))
        for place in _places(slide, tissue, level, None if thorough else PLACES)
    ]
    with ThreadPoolExecutor(default_threads()) as pool:
        failed = [place for place in pool.map(lambda p: _unreadable(slide, p), places) if place]
    how = "all tissue" if thorough else "a sample"
    if not failed and not damaged:
        said = f"{len(places)} regions on all levels ({how}) can be read; {UNSEEN}"
        return ok("reading", said)
    said = f"{len(failed)} of {len(places)} regions ({how}) cannot be decoded"
    if failed:
        where = some_of(f"({x}, {y}) on level {level}" for x, y, level in failed)
        said += f": {where} (x, y in level-0 px, {REGION_PX} px wide)"
    if damaged:
        said += f"; {100 * damaged:.2g} % of the whole picture is missing"
    return wrong("reading", said, COPY)


def _places(slide: Slide, tissue: TissueMask, level: int, most: int | None) -> Iterator[Place]:
    """Regions of a level with tissue in them; some by chance, always the same, or all."""
    width, height = slide.level_dimensions[level]
    side = REGION_PX * slide.level_downsamples[level]
    x, y = np.meshgrid(
        np.arange(0, width, REGION_PX) * slide.level_downsamples[level],
        np.arange(0, height, REGION_PX) * slide.level_downsamples[level],
    )
    # Cut at the slide's edge, where nothing of a mask is.
    there = np.argwhere(tissue.fractions(x, y, side, side) > 0)
    if most is not None and len(there) > most:
        there = np.random.default_rng(0).choice(there, most, replace=False)
    for row, column in there:
        yield int(x[row, column]), int(y[row, column]), level


def _unreadable(slide: Slide, place: Place) -> Place | None:
    x, y, level = place
    try:
        slide.read_region(x, y, REGION_PX, REGION_PX, level)
    except SlideError:
        return place
    return None


def _hashed(path: Path) -> Finding:
    if path.is_dir():
        said = "a folder has none"
        return note("SHA-256", said, "give a file of it")
    with path.open("rb") as file:
        return ok("SHA-256", hashlib.file_digest(file, "sha256").hexdigest())
