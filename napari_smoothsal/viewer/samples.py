"""File > Open Sample: the synthetic slide, alone or with its saliency."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from pathlib import Path

from napari_smoothsal.slides.sample import sample_slide_path
from napari_smoothsal.viewer.slide_layer import LayerData, open_slide_layer

_FILES = ExitStack()


def sample_slide() -> list[LayerData]:
    """The synthetic slide that is shipped with the package."""
    return [open_slide_layer(_path(), "sample slide (synthetic)")]


def sample_saliency() -> list[LayerData]:
    """The synthetic slide; the dock then explains its middle."""
    from napari_smoothsal.viewer.sample_run import explain_when_ready

    layer = open_slide_layer(_path(), "sample slide (synthetic)")
    explain_when_ready()
    return [layer]


def _path() -> Path:
    # A zipped installation unpacks the file; it is needed as long as the layer.
    if not hasattr(_path, "found"):
        atexit.register(_FILES.close)
        _path.found = _FILES.enter_context(sample_slide_path())  # type: ignore[attr-defined]
    return Path(_path.found)  # type: ignore[attr-defined]
