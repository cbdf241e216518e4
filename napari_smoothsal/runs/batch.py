"""explain_slides: several slides, one after the other, each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.models import Model
from napari_smoothsal.runs.explain import explain_slide
from napari_smoothsal.runs.layout import SUFFIX
from napari_smoothsal.runs.run import Run
from napari_smoothsal.slides import open_slide


@dataclass(frozen=True)
class SlideResult:
    """Outcome of one slide of a batch: its run, or the error that stopped it."""

    name: str
    run: Run | None
    error: Exception | None


def explain_slides(
    slides: Sequence[str | Path],
    model: Model,
    specs: Sequence[SaliencySpec],
    out: str | Path,
    *,
    mpp: float | None = None,
    **settings: Any,
) -> list[SlideResult]:
    """Explain several slides into one folder; a slide that fails does not stop the others.

    Parameters
    ----------
    slides
        Paths.
    model, specs
        As for `explain_slide`.
    out
        Folder of the stores, each named ``<base name of the slide>.smoothsal.zarr``.
    mpp
        Overrides the level-0 micrometres per pixel of every slide.
    **settings
        Further arguments of `explain_slide`.

    Returns
    -------
    list of SlideResult
        In the order of the slides.
    """
    results = []
    taken: set[str] = set()
    for source in slides:
        name = Path(source).stem
        try:
            with open_slide(source, mpp=mpp) as slide:
                store = _free_name(slide.name, taken)
                run = explain_slide(slide, model, specs, Path(out) / store, **settings)
            results.append(SlideResult(name, run, None))
        except Exception as error:  # noqa: BLE001 - whatever stops one slide, others may go on
            results.append(SlideResult(name, None, error))
    return results


def _free_name(name: str, taken: set[str]) -> str:
    """Slides of the same base name get ``~2``, ``~3``: none may resume another's store."""
    number, store = 1, name + SUFFIX
    while store in taken:
        number += 1
        store = f"{name}~{number}{SUFFIX}"
    taken.add(store)
    return store
