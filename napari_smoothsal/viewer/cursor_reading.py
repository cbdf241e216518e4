"""CursorReading: what the map says at the pointer, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QWidget

from napari_smoothsal.viewer.map_layer import is_blanked, is_map
from napari_smoothsal.viewer.marked_tiles import said_at
from napari_smoothsal.viewer.slide_source import METADATA

EVERY_MS = 60
"""Between two readings: the pointer sends hundreds of moves a second."""
NOT_HERE = "not computed here"
NOTHING = "Point at a map to read its value."


class CursorReading(QLabel):
    """One line about the topmost visible map of ours.

    Parameters
    ----------
    viewer
        Whose pointer it follows.
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(NOTHING, parent)
        self.setWordWrap(True)
        self._viewer = viewer
        self._magnitudes: tuple[Any, NDArray[np.float64]] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.read)
        viewer.mouse_move_callbacks.append(self._on_move)

    def disconnect_viewer(self) -> None:
        """Follow no more."""
        self._timer.stop()
        if self._on_move in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._on_move)

    def read(self) -> None:
        """Say what lies under the pointer now."""
        layer = next((x for x in reversed(self._viewer.layers) if _is_shown_map(x)), None)
        if layer is None:
            self.setText(NOTHING)
            return
        position = self._viewer.cursor.position
        said = self._in_words(layer, _value_at(layer, position))
        marked = said_at(self._viewer, position)
        # Of a tile that is not explained there is no more to say than that, and what it is.
        said = said.replace(f": {NOT_HERE}", "") if marked else said
        self.setText(f"{said}; {marked}" if marked else said)
        self._viewer.status = self.text()

    def _on_move(self, _viewer: Any, _event: Any) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _in_words(self, layer: Any, value: float | None) -> str:
        own = layer.metadata[METADATA]
        target = "the predicted class" if own["target"] == "auto" else own["target"]
        what = ", ".join((*own["title"].split(" | ")[:3], target))
        if value is None:
            return f"{what}: beside the map"
        if np.isnan(value):
            return f"{what}: {NOT_HERE}"
        if value == 0 and is_blanked(layer):
            return f"{what}: blank, not above its calibrated limits"
        if value == 0:
            return f"{what}: 0, no influence"
        supports, against = own["legend"]
        says = supports if value > 0 else against or "no influence"  # less than zero by rounding
        return f"{what}: {value:+.2g} ({self._rank(layer, value)} percentile), {says}"

    def _rank(self, layer: Any, value: float) -> str:
        """Place among the magnitudes of the map, or, of a large one, of its coarsest level.

        Of all that is stored: what is shown blank counts as well.
        """
        key = (layer.unique_id, layer.metadata[METADATA].get("shown", 0))
        if self._magnitudes is None or self._magnitudes[0] != key:
            values = np.abs(np.asarray(layer.metadata[METADATA]["pixels"].whole, np.float64))
            self._magnitudes = (key, np.sort(values[np.isfinite(values) & (values > 0)]))
        known = self._magnitudes[1]
        rank = 100 * np.searchsorted(known, abs(value), side="right") / max(1, len(known))
        return _ordinal(int(rank))


def _ordinal(number: int) -> str:
    ending = (
        "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{ending}"


def _is_shown_map(layer: Any) -> bool:
    return is_map(layer) and bool(layer.visible)


def _value_at(layer: Any, position: Any) -> float | None:
    """Of the level that is on the screen."""
    value = layer.get_value(position, world=True)
    if layer.multiscale:
        value = value[1] if value is not None else None
    return None if value is None else float(value)
