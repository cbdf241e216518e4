"""MapColumn: a small viewer with the slide and one map over it, between its name and its figures.

It has layers and a canvas of its own, so that nothing of it is left in the window it came from;
the pixels are those of the window's layer, read once for all columns.
"""

from __future__ import annotations

import contextlib
from html import escape
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from napari.qt import QtViewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.tile_states import TileStates
from napari_smoothsal.viewer.map_layer import map_layer_options
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.mark_layers import MarkLayers
from napari_smoothsal.viewer.marked_tiles import marks_of
from napari_smoothsal.viewer.placement import Pair
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.stored_pixels import StoredPixels
from napari_smoothsal.viewer.tile_loader import load_beside

NARROWEST_PX = 160
NAME_LINES = 3


class MapColumn(QWidget):
    """One column.

    Parameters
    ----------
    slide
        What lies under the map.

    Attributes
    ----------
    model
        Its layers and camera.
    """

    def __init__(self, slide: ExplainedSlide, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slide = slide
        self._maps: dict[int, Any] = {}
        self._marks: dict[int, MarkLayers] = {}
        self._lie: dict[int, tuple[Pair, Pair]] = {}
        self.model = ViewerModel()
        load_beside(self.model)
        data, options, kind = slide.layer.as_layer_data_tuple()
        options |= {"visible": True, "opacity": 1.0}
        self.model.add_layer(Layer.create(data, options, kind))
        self._canvas = QtViewer(self.model)
        # Keys are the window's: they choose between columns.
        for widget in (self._canvas, self.canvas):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            widget.setAcceptDrops(False)
        self.name, self.foot = QLabel(), QLabel()
        self.name.setWordWrap(True)
        self.foot.setWordWrap(True)
        # As high whatever they say: the canvases stand level, and no switch moves what is seen.
        for label, lines in ((self.name, NAME_LINES), (self.foot, 1)):
            label.setFixedHeight(lines * label.fontMetrics().lineSpacing() + 4)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.name)
        layout.addWidget(self._canvas, 1)
        layout.addWidget(self.foot)
        self.setMinimumWidth(NARROWEST_PX)

    @property
    def canvas(self) -> Any:
        """The Qt widget that is drawn on."""
        return self._canvas.canvas.native

    @property
    def maps(self) -> dict[int, Any]:
        """The layer of each map that it has, by the number of its column."""
        return dict(self._maps)

    def head(self, name: str, title: str) -> None:
        """Say which column it is, and what its map is."""
        small = f"<br><small>{escape(title)}</small>" if title else ""
        self.name.setText(f"<b>{escape(name)}</b>{small}")
        self.name.setToolTip(title)

    def put(self, number: int, picture: MapPicture, *, complete: bool) -> None:
        """Show a map, or bring it up to date.

        Parameters
        ----------
        number
            Of the column that it is of.
        picture
            The map.
        complete
            Whether it is the last round; an earlier one may be gone by now.
        """
        gone: tuple[type[Exception], ...] = () if complete else (FileNotFoundError, StoreError)
        with contextlib.suppress(*gone):
            pixels = StoredPixels(picture, whole=True)
            self.put_pixels(number, pixels.data, picture)

    def put_pixels(self, number: int, pixels: Any, picture: MapPicture) -> None:
        """The same with pixels (h, w) that are there already."""
        layer, lies = self._maps.get(number), (picture.scale_um, picture.translate_um)
        if layer is None:
            options = map_layer_options(picture, picture.title, False)
            options |= self._slide.placement(picture)
            self._maps[number] = self.model.add_image(pixels, **options)
        else:
            layer.data = pixels
            if self._lie.get(number) != lies:
                for name, value in self._slide.placement(picture).items():
                    setattr(layer, name, value)
        self._lie[number] = lies

    def mark(self, number: int, picture: MapPicture, states: TileStates | None) -> list[str]:
        """Hatch the tiles that the model predicts as another class; what a legend says of that.

        Parameters
        ----------
        number, picture
            Of which map.
        states
            What became of its tiles; None: mark none.
        """
        layer = self._maps.get(number)
        if layer is None:
            return []
        if states is None:
            if number in self._marks:
                self._marks[number].hide()
            return []
        found = marks_of(states, self._slide.mpp, picture)
        if found:
            marks = self._marks.setdefault(number, MarkLayers(self.model, layer))
            marks.show([(marked, self._slide.placement(marked)) for marked in found])
        elif number in self._marks:
            self._marks[number].hide()
        return [marked.in_words for marked in found]

    def show_map(self, number: int) -> None:
        """Show one map, and no other."""
        for other, layer in self._maps.items():
            layer.visible = other == number

    def forget_maps(self) -> None:
        """Show the slide alone, until there are new ones."""
        for layer in self._maps.values():
            layer.visible = False

    def set_limit(self, number: int, limit: float) -> None:
        """Magnitude of full colour of a map."""
        layer = self._maps.get(number)
        if layer is not None and tuple(layer.contrast_limits) != (-limit, limit):
            layer.contrast_limits_range = layer.contrast_limits = (-limit, limit)

    def end(self) -> None:
        """Give its canvas back."""
        self._maps.clear()
        self._marks.clear()
        self._canvas.close()
