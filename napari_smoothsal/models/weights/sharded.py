"""Weights in several files, with an index that says which file holds which of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.card_file import json_object
from napari_smoothsal.models.weights.named_file import inside
from napari_smoothsal.models.weights.reading import read_weights

INDEX = ".index.json"
"""End of an index's name, e.g. ``model.safetensors.index.json``."""

_MOST_INDEX_BYTES = 1 << 24


def read_sharded(path: Path) -> dict[str, Any]:
    """Read a file of weights, or all that an index names.

    Parameters
    ----------
    path
        An index as model hubs have it beside large models (``weight_map``), or one file.

    Raises
    ------
    UnsafeModelError, ModelError
        As `read_weights`; and if a file that the index names lies elsewhere, is not there, or does
        not hold what the index says.
    """
    if not path.name.endswith(INDEX):
        return read_weights(path)
    places = json_object(path, f"index {path.name!r}", _MOST_INDEX_BYTES).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise ModelError(f"index {path.name!r} has no weight_map of names and files")
    found: dict[str, Any] = {}
    for file in dict.fromkeys(places.values()):
        held = read_weights(inside(path.parent, file, f"index {path.name!r}"))
        wanted = [name for name, place in places.items() if place == file]
        missing = [name for name in wanted if name not in held]
        if missing:
            raise ModelError(
                f"index {path.name!r}: {file!r} does not hold {missing[0]!r}, nor "
                f"{len(missing) - 1} more that it should; copy or download it again"
            )
        found |= {name: held[name] for name in wanted}
    return found
