"""How the engine keeps what was explained: a store, a figure, masks."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.render.figure import comparison_figure
from napari_smoothsal.render.limits import ColourLimit
from napari_smoothsal.render.masks import write_masks
from napari_smoothsal.runs import open_run
from napari_smoothsal.runs.layout import SUFFIX
from napari_smoothsal.slides import Slide
from napari_smoothsal.viewer.asked import Save
from napari_smoothsal.viewer.told import Saved


class NotSavedError(SmoothsalError):
    """There is no place to write to."""


def saved(request: Save, slide: Slide) -> Saved:
    """Write store, figure and masks of what was explained.

    Raises
    ------
    NotSavedError
        Where the folder is not there, or cannot be written to.
    """
    folder, store = Path(request.folder), Path(request.store)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise NotSavedError(f"nothing can be written to {folder.name!r}; choose another folder")
    run = open_run(store)
    key, run_map = next(iter(run.maps.items()))
    if request.explain.view:
        stem = _free(folder, f"{slide.name}.{key}.view")
    else:
        stem = folder / store.name.removesuffix(SUFFIX)
    kept = stem.with_name(stem.name + SUFFIX)
    try:
        if not kept.exists():
            _copied(store, kept)
        figure = stem.with_name(stem.name + ".png")
        limit = ColourLimit(request.limit, request.limit_of)
        comparison_figure(slide, run, [[key]], run.region, figure, limit, request.calibrated)
        masks = write_masks(run, run_map, stem, limit, request.calibrated)
        names = [path.name for path in (kept, figure, *masks)]
    except OSError as error:
        why = error.strerror or "files could not be copied"
        raise NotSavedError(f"could not be saved to {folder.name!r}: {why}") from error
    return Saved(id=request.id, names=tuple(names))


def _copied(store: Path, kept: Path) -> None:
    """A copy that is there as a whole or not at all."""
    partial = kept.with_name(f".{kept.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(store, partial)
        partial.rename(kept)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _free(folder: Path, name: str) -> Path:
    """The name, or, where it is taken, with a number."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(folder / n for n in names if not (folder / (n + SUFFIX)).exists())
