"""StoredTiles: the tiles of a store that was dropped on the viewer, read beside the window."""

from __future__ import annotations

import contextlib
from functools import partial
from threading import Thread
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.requests import ExplainedSlide, StoredSlide
from napari_smoothsal.viewer.slide_source import METADATA, RUN, layer_of_size
from napari_smoothsal.viewer.tile_rows import tile_rows


class StoredTiles(QObject):
    """Reads what a run says of its tiles when its map is opened: whole maps are summed up.

    Signals
    -------
    begun()
        A store is being read.
    read(object, object, object)
        The `ExplainedSlide`, the `TileRow` of each tile, and the names of the model's classes.
    failed(str)
        It could not be read, and why.
    """

    begun = Signal()
    read = Signal(object, object, object)
    failed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._latest: Any = None

    def read_open_ones(self) -> None:
        """Read the store on show, if one is open."""
        for layer in reversed(self._viewer.layers):
            if self.read_of(layer):
                return

    def read_of(self, layer: Any) -> bool:
        """Read the store that a layer is the map on show of; whether it is one."""
        layer = getattr(layer, "__wrapped__", layer)  # of the proxies that napari hands plugins
        own = layer.metadata.get(METADATA)
        if not (is_map(layer) and RUN in own and layer.visible):
            return False
        run, key = own[RUN], own["map"]
        slide = _slide_of(run, layer, self._viewer)
        classes = tuple(run.provenance["model"]["class_names"])
        self._latest = run

        def read() -> None:
            try:
                told = partial(self.read.emit, slide, tile_rows(run, key), classes)
            except (SmoothsalError, OSError, LookupError, ValueError) as error:
                told = partial(self.failed.emit, f"{run.path.name}: {error}")
            if self._latest is run:
                with contextlib.suppress(RuntimeError):  # the dock was closed meanwhile
                    told()

        self.begun.emit()
        Thread(target=read, name="smoothsal-stored-tiles", daemon=True).start()
        return True


def _slide_of(run: Any, layer: Any, viewer: Any) -> ExplainedSlide:
    known = run.provenance["slide"]
    size = (known["height"], known["width"])
    slide = layer_of_size(size, viewer.layers)
    if slide is not None:
        return ExplainedSlide(slide, run.mpp, size)
    return StoredSlide(layer, run.mpp, size)
