"""Where things lie inside a store, and what a folder must show to be taken for one.

::

    case.smoothsal.zarr           bioformats2raw layout; attributes ``ome`` and ``smoothsal``
    ├── OME                       the series: paths of all images
    ├── overview                  (c, y, x) small picture of the slide
    ├── maps/<key>/0..n           (y, x) float32, NaN where nothing was computed
    │   └── extreme/1..n          the same levels with the value of largest magnitude
    ├── prediction/0..n           (c, y, x) class probabilities, 255 is 1; of models that decide
    │   └── labels/classes/0..n   per pixel; labels are class index + 1, 0 was not computed
    ├── tiles/<column>            one value per tile
    └── state                     what resuming reads
        ├── rows_<i>              which bands of image i are written
        └── chosen                which tiles are explained, where all are predicted first
"""

from __future__ import annotations

import json
from typing import Any

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.places import Place, asked, on_url, read_whole

SUFFIX = ".smoothsal.zarr"
NAMESPACE = "smoothsal"
FORMAT = 4
WITH_ERRORS = "complete_with_errors"
FINISHED = ("complete", WITH_ERRORS)
PREDICTION = "prediction"
LABELS = f"{PREDICTION}/labels/classes"
"""Of the class map."""
PENDING, DONE, FAILED, NOT_EXPLAINED = 0, 1, 2, 3
"""Values of the tiles' ``status`` column; the last are predicted, and have no maps."""
UNDECIDED, LEFT_OUT, CHOSEN = 0, 1, 2
"""Values of ``state/chosen``."""
STATUS_NAMES = ("pending", "done", "failed", "not_explained")
BAND = 256
"""Height and width of a chunk of a map; one band is one row of chunks."""
COARSEST_PX = 1024
PER_MAP = ("tv", "se", "samples", "delta", "explained_px", "difference")
"""Columns of the tile table that there is one of for each map; see `Run.tiles`."""


DRAFT_MARK = ".draft"
"""On a URL, in what is being laid out: with it and without metadata it is no store yet."""


def own_attributes(path: Place) -> dict[str, Any] | None:
    """Our attributes of the store in a folder; None where it is not a store of ours."""
    metadata = path / "zarr.json"
    try:
        if not on_url(metadata) and (not metadata.is_file() or metadata.stat().st_size > 64 << 20):
            return None
        own = json.loads(read_whole(metadata))["attributes"][NAMESPACE]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    except (FileNotFoundError, IsADirectoryError):
        if on_url(metadata):
            return None
        raise
    needed = {"format", "status", "identity", "provenance", "maps"}
    return own if isinstance(own, dict) and needed <= own.keys() else None


def check_free_or_own(path: Place) -> dict[str, Any] | None:
    """Our attributes where the path holds a store of ours, None where it is free to be used.

    Raises
    ------
    StoreError
        If something else is there. Nothing that is not ours is ever written into or deleted.
    """
    if not on_url(path) and not path.exists():
        return None
    own = own_attributes(path) if on_url(path) or path.is_dir() else None
    if own is not None:
        if own["format"] != FORMAT:
            raise StoreError(
                f"{path.name!r} was written in store format {own['format']}, this version writes "
                f"{FORMAT}; choose another --out"
            )
        return own
    if _is_free(path):
        return None
    raise StoreError(
        f"{path.name!r} exists and is no store of this program; nothing was written into it. "
        "Choose another --out"
    )


def _is_free(path: Place) -> bool:
    """Whether nothing is there, or on a URL what this program began to lay out."""
    if not on_url(path):
        return path.is_dir() and not any(path.iterdir())
    with asked(path):
        if path.fs.isfile(path.path):
            return False
        try:
            listed = path.fs.ls(path.path, detail=False)
        except FileNotFoundError:
            return True
    names = {str(one).rpartition("/")[2] for one in listed}
    return not names or (DRAFT_MARK in names and "zarr.json" not in names)
