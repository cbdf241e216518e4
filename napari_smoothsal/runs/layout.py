"""Where things lie inside a store, and what a folder must show to be taken for one.

::

    case.smoothsal.zarr           bioformats2raw layout; attributes ``ome`` and ``smoothsal``
    ├── OME                       the series: paths of all images
    ├── overview                  (c, y, x) small picture of the slide
    ├── maps/<key>/0..n           (y, x) float32, NaN where nothing was computed
    │   └── extreme/1..n          the same levels with the value of largest magnitude
    ├── tiles/<column>            one value per tile
    └── state/rows_<i>            which bands of map i are written: what resuming reads
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_smoothsal.core.errors import StoreError

SUFFIX = ".smoothsal.zarr"
NAMESPACE = "smoothsal"
FORMAT = 1
BAND = 256
"""Height and width of a chunk of a map; one band is one row of chunks."""
COARSEST_PX = 1024


def own_attributes(path: Path) -> dict[str, Any] | None:
    """Our attributes of the store in a folder; None where it is not a store of ours."""
    metadata = path / "zarr.json"
    if not metadata.is_file() or metadata.stat().st_size > 64 << 20:
        return None
    try:
        own = json.loads(metadata.read_text(encoding="utf-8"))["attributes"][NAMESPACE]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return own if isinstance(own, dict) and "format" in own else None


def check_free_or_own(path: Path) -> dict[str, Any] | None:
    """Our attributes where the path holds a store of ours, None where it is free to be used.

    Raises
    ------
    StoreError
        If something else is there. Nothing that is not ours is ever written into or deleted.
    """
    if not path.exists():
        return None
    own = own_attributes(path) if path.is_dir() else None
    if own is not None:
        if own["format"] != FORMAT:
            raise StoreError(
                f"{path.name!r} was written in store format {own['format']}, this version writes "
                f"{FORMAT}; choose another --out"
            )
        return own
    if path.is_dir() and not any(path.iterdir()):
        return None
    raise StoreError(
        f"{path.name!r} exists and is no store of this program; nothing was written into it. "
        "Choose another --out"
    )
