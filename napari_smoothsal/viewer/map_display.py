"""MapDisplay: how all maps of a viewer are shown, and the legend of the one looked at."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QSlider, QVBoxLayout, QWidget

from napari_smoothsal.render.limits import ColourLimit, LimitOf, calibration_in_words
from napari_smoothsal.render.words import BELOW, GREY_OF_A_PART
from napari_smoothsal.viewer.colour_bar import ColourBar
from napari_smoothsal.viewer.map_layer import (
    OPACITY,
    STALE,
    apply_calibration,
    apply_limits,
    belongs_to_map,
    is_blanked,
    is_map,
    mark_stale,
    unmark,
)
from napari_smoothsal.viewer.marked_tiles import marked_by
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.ways import CONTOURS, TINT, WAYS, colormap_of

if TYPE_CHECKING:
    from napari_smoothsal.core.calibration import Calibration
    from napari_smoothsal.viewer.contour_lines import ContourLines


class MapDisplay(QWidget):
    """The way of showing, the limits and the opacity of maps; their legend.

    Parameters
    ----------
    viewer
        Whose maps.
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._lines: dict[Any, ContourLines] = {}
        self._hidden: list[Any] = []
        self._shown: Any = None
        self.bar = ColourBar()
        self.way = QComboBox()
        for name, tooltip in WAYS.items():
            self.way.addItem(name)
            self.way.setItemData(self.way.count() - 1, tooltip, Qt.ItemDataRole.ToolTipRole)
        self.way.setToolTip("\n".join(f"{name}: {text}" for name, text in WAYS.items()))
        self.stretched = QCheckBox()
        self.stretched.setToolTip(
            "Full colour at the 99th percentile of each map alone, to see structure in faint ones. "
            "A colour then means something else in every map."
        )
        self.calibrated = QCheckBox()
        self.calibrated.setChecked(True)
        self.calibrated.setToolTip(
            "Of maps whose limits were measured (smoothsal calibrate): show only what is more than "
            "normal tissue and randomised copies of the model reach; the rest stays clear."
        )
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(round(100 * OPACITY))
        self.opacity.setToolTip("Of all maps; Shift-H takes them off and puts them back.")
        self.controls = QWidget()
        form = QFormLayout(self.controls)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("show as", self.way)
        form.addRow("calibrated", self.calibrated)
        form.addRow("stretched", self.stretched)
        form.addRow("opacity", self.opacity)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar)
        layout.addWidget(self.controls)
        self.way.currentTextChanged.connect(self._apply_all)
        self.calibrated.toggled.connect(self._apply_all)
        self.stretched.toggled.connect(self._apply_all)
        self.opacity.valueChanged.connect(self._set_opacity)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_active)
        maps = [layer for layer in viewer.layers if is_map(layer)]
        for layer in maps:
            layer.events.contrast_limits.connect(self._on_limits)
        self.controls.setVisible(bool(maps))
        self._apply_all()
        if maps:
            self._show_legend(next((x for x in reversed(maps) if x.visible), maps[-1]))

    @property
    def text(self) -> str:
        """The legend."""
        return self.bar.text

    def disconnect_viewer(self) -> None:
        """Leave the maps as they are, but for their lines."""
        events = self._viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        for layer in [x for x in self._viewer.layers if is_map(x)]:
            layer.events.contrast_limits.disconnect(self._on_limits)
            # Nobody keeps the lines up to date any more.
            if layer in self._lines:
                self._lines.pop(layer).remove()
                layer.colormap = colormap_of(TINT, layer.metadata[METADATA]["palette"])
                layer.metadata[METADATA].pop("colours", None)

    def bring_up_to_date(self, layer: Any) -> None:
        """A map has grown, or is another one: show it as is chosen, with its legend."""
        if layer is not None and layer in self._viewer.layers:
            self._apply(layer)
            self._show_legend(layer)

    def mark_stale(self, settings: object) -> None:
        """Mark the maps of views that are of other settings."""
        for layer in self._viewer.layers:
            if is_map(layer):
                mark_stale(layer, settings)
        if self._shown is not None and self._shown in self._viewer.layers:
            self._show_legend(self._shown)

    def hide_or_show(self) -> None:
        """Take the maps off the tissue, or put back those that were on it."""
        layers = self._viewer.layers
        shown = [x for x in layers if belongs_to_map(x) and x.visible]
        for layer in shown or [x for x in self._hidden if x in layers]:
            layer.visible = not shown
        self._hidden = shown or self._hidden

    def _apply_all(self, _value: Any = None) -> None:
        for layer in [x for x in self._viewer.layers if is_map(x)]:
            self._apply(layer)
        if self._shown is not None:
            self._show_legend(self._shown)

    def _apply(self, layer: Any) -> None:
        own, way = layer.metadata[METADATA], self.way.currentText()
        own["stretch"] = self.stretched.isChecked()
        apply_limits(layer)
        apply_calibration(layer, self.calibrated.isChecked())
        colours = (way, own["palette"])
        if own.get("colours", (TINT, own["palette"])) != colours:
            layer.colormap = colormap_of(*colours)
        own["colours"] = colours
        if way == CONTOURS:
            # Imported here: scipy is not needed before.
            from napari_smoothsal.viewer.contour_lines import ContourLines

            if layer not in self._lines:
                self._lines[layer] = ContourLines(self._viewer, layer)
            self._lines[layer].update()
        elif layer in self._lines:
            self._lines.pop(layer).remove()

    def _set_opacity(self, percent: int) -> None:
        for layer in self._viewer.layers:
            if is_map(layer):
                layer.opacity = percent / 100

    def _on_inserted(self, event: Any) -> None:
        if is_map(event.value):
            self.controls.show()
            event.value.events.contrast_limits.connect(self._on_limits)
            # An overlay of ours is not finished yet; it will call `bring_up_to_date`.
            if "key" not in event.value.metadata[METADATA]:
                self._apply(event.value)
                self._show_legend(event.value)
            if event.value.opacity == OPACITY:
                event.value.opacity = self.opacity.value() / 100

    def _on_removed(self, event: Any) -> None:
        lines = self._lines.pop(event.value, None)
        if lines is not None:
            lines.remove()
        if is_map(event.value):
            event.value.events.contrast_limits.disconnect(self._on_limits)
            unmark(event.value)
        if event.value is self._shown:
            self._shown = None
        self._hidden = [layer for layer in self._hidden if layer is not event.value]

    def _on_limits(self, event: Any) -> None:
        """Somebody moved the limits in the layer controls, or we did."""
        if event.source in self._lines:
            self._lines[event.source].update()
        if event.source is self._shown:
            self._show_legend(event.source)

    def _on_active(self, event: Any) -> None:
        if event.value is not None and is_map(event.value):
            self._show_legend(event.value)

    def _show_legend(self, layer: Any) -> None:
        self._shown = layer
        own = layer.metadata[METADATA]
        of: LimitOf = "this map" if own.get("stretch") else own["limit_of"]
        limit = ColourLimit(own["limit"], of).in_words
        if tuple(layer.contrast_limits) != (-own["limit"], own["limit"]):
            limit = "full colour: as set in the layer controls"
        marks = [found for x in self._viewer.layers if x.visible and (found := marked_by(x))]
        more = calibration_in_words(own.get("calibration"), is_blanked(layer))
        more += [
            f"model: {own['model']}",
            *dict.fromkeys(escape(found.in_words) for found in marks),
        ]
        if own.get("stale"):
            more.append(f"<b>of {STALE}: explain again</b>")
        words = {"grey": GREY_OF_A_PART} if own.get("of_a_part") else {}
        words |= {"zero": BELOW} if is_blanked(layer) else {}
        self.calibrated.setText(_limits_in_words(own.get("calibration")))
        way = self.way.currentText()
        self.bar.show_legend(own["legend"], own["palette"], way, limit, *more, **words)
        size = f"Full colour at a magnitude of {layer.contrast_limits[1]:.3g}."
        self.bar.setToolTip(size)


def _limits_in_words(calibration: Calibration | None) -> str:
    """What stands beside the box, where a tick changes nothing of the map on show."""
    if calibration is None:
        return "(no limits for this map)"
    return "" if calibration.useful else "(the limits of this map leave too little)"
