"""KeptMaps: which of the maps in a viewer lie in a store that stays, and the choice of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.slide_on_show import run_of, slide_of
from napari_smoothsal.viewer.slide_source import METADATA


@dataclass(frozen=True, eq=False)
class KeptMap:
    """A map on show whose store stays.

    Attributes
    ----------
    layer, run, key
        The map's layer, its run, and its name in it.
    """

    layer: Any
    run: Any
    key: str

    def slide(self, viewer: Any) -> ExplainedSlide:
        """The slide it is of: its layer, or the place of the map itself."""
        layer = self.layer
        of = layer.metadata[METADATA].get("key", {}).get("of")
        explained = [x for x in viewer.layers if str(x.unique_id) == of]
        if explained:
            known = self.run.provenance["slide"]
            return ExplainedSlide(explained[0], self.run.mpp, (known["height"], known["width"]))
        return slide_of(self.run, layer, viewer)


class KeptMaps(QComboBox):
    """The maps of a viewer that are kept: of stores, and of slides and regions explained here.

    Signals
    -------
    chosen()
        Another map is chosen, or none.
    """

    chosen = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._listed: list[tuple[str, str]] = []
        self._last: tuple[str, str] | None = None
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(16)
        self.setToolTip(
            "Maps that are kept: of a store that was opened, of Explain slide and Explain region. "
            "The map of a view is not kept: save it and open the saved store."
        )
        events = viewer.layers.events
        self._events = (events.inserted, events.removed, events.reordered)
        for event in self._events:
            event.connect(self.list_maps)
        viewer.layers.selection.events.active.connect(self._on_active)
        self.currentIndexChanged.connect(self._on_index)
        self.list_maps()

    def disconnect_viewer(self) -> None:
        """Hear no more of the viewer's layers."""
        for event in self._events:
            event.disconnect(self.list_maps)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)

    def map(self) -> KeptMap | None:
        """The chosen map; None where there is none.

        Raises
        ------
        SmoothsalError
            If its store cannot be read any more.
        """
        wanted = self.currentData()
        layer = next((x for x in self._viewer.layers if str(x.unique_id) == wanted), None)
        if layer is None or not store_of(layer):
            return None
        run = run_of(layer)
        own = layer.metadata[METADATA]
        if run is None:
            from napari_smoothsal.runs import open_run  # beside a dock that is only opened

            run = open_run(own["pixels"].store)
        return KeptMap(layer, run, own["map"])

    def list_maps(self, _event: Any = None) -> None:
        """Offer the maps that are there now."""
        layers = [x for x in reversed(self._viewer.layers) if _is_kept(x)]
        found = [(layer.name, str(layer.unique_id)) for layer in layers]
        if found != self._listed:
            self._listed, before = found, self.currentData()
            self.blockSignals(True)
            self.clear()
            for name, number in found:
                self.addItem(name, number)
            shown = next((str(x.unique_id) for x in layers if x.visible), None)
            wanted = before if self.findData(before) >= 0 else shown
            self.setCurrentIndex(max(0, self.findData(wanted)) if found else -1)
            self.blockSignals(False)
        self._on_index()

    def _on_active(self, event: Any) -> None:
        layer = event.value
        if layer is not None and _is_kept(layer):
            self.list_maps()
            self.setCurrentIndex(self.findData(str(layer.unique_id)))

    def _on_index(self, _index: int = 0) -> None:
        layer = next(
            (x for x in self._viewer.layers if str(x.unique_id) == self.currentData()), None
        )
        now = None if layer is None else (self.currentData(), store_of(layer))
        if now is not None and not now[1]:  # told right after the layer is added
            QTimer.singleShot(0, self.list_maps)
        elif now != self._last:
            self._last = now
            self.chosen.emit()


def store_of(layer: Any) -> str:
    """Where the store of a map is; empty where that is not known yet."""
    pixels = layer.metadata[METADATA].get("pixels")
    return "" if pixels is None else str(Path(pixels.store))


def _is_kept(layer: Any) -> bool:
    if not is_map(layer):
        return False
    own = layer.metadata[METADATA]
    return run_of(layer) is not None or own.get("key", {}).get("part") in ("slide", "region")
