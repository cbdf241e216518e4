"""SlideSource: what a slide layer carries so that the engine process can open the same slide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

METADATA = "smoothsal"
"""Key of a layer's metadata under which everything of ours lies."""
RUN = "run"
"""Under which, in that, a layer from a store keeps the run it was read from."""


@dataclass(frozen=True)
class SlideSource:
    """The slide behind a layer, without any of its properties.

    Attributes
    ----------
    path
        Its file or DICOM folder; kept out of the representation, since file names may name
        patients and layers' metadata end up in screenshots and logs.
    mpp
        (y, x) micrometres per level-0 px; None where the file gives none.
    size
        (height, width) of level 0; the layer's finest level is padded beyond it.
    corrected
        Whether the layer's colours are others than the file's, for the screen; the engine reads
        the file.
    fingerprint
        Of its pixels; empty where it was not asked for.
    """

    path: Path = field(repr=False)
    mpp: tuple[float, float] | None
    size: tuple[int, int]
    corrected: bool = False
    fingerprint: str = ""


def source_of(layer: Any) -> SlideSource | None:
    """The slide behind a layer; None where the layer is not one of our readers'."""
    own = layer.metadata.get(METADATA)
    return own if isinstance(own, SlideSource) else None


def layer_of_size(size: tuple[int, int], layers: Iterable[Any]) -> Any | None:
    """The layer of a slide of that (height, width); None where there is none."""
    for layer in layers:
        source = source_of(layer)
        if source is not None and source.size == size:
            return layer
    return None
