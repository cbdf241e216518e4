"""The Predictions dock: what the model predicts here, denoised or not, and a way to each tile."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.checks import LEAST_PROBABILITY, UNSURE
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.asked import Predict
from napari_smoothsal.viewer.asking import Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.field_of_view import look_at
from napari_smoothsal.viewer.measuring_dock import Made, MeasuringDock, row_of
from napari_smoothsal.viewer.prediction_layer import PredictionLayer, class_colours
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.saved_picture import save_picture
from napari_smoothsal.viewer.stored_tiles import StoredTiles
from napari_smoothsal.viewer.tile_table import TileTable
from napari_smoothsal.viewer.told import MOST_ROWS, Answer, Predicted, TileRow

if TYPE_CHECKING:
    import napari

NEXT, PREVIOUS = "Shift-N", "Shift-P"
MOST_CLASSES = 12


class PredictionsDock(MeasuringDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(
            viewer,
            "Mean probability over the tiles of the view.",
            "Predict again by itself when the view, or a setting, has changed.",
            parent,
        )
        self._slide: ExplainedSlide | None = None
        self._rows: tuple[TileRow, ...] = ()
        self._classes: tuple[str, ...] = ()
        self._layer: Any = None
        self.predict = QPushButton("Predict view")
        self.predict.setToolTip("What the model predicts of the tiles in the window.")
        self.shown = QWidget()
        self._bars = QGridLayout()
        self._difference = QLabel()
        self._difference.setWordWrap(True)
        inside = QVBoxLayout(self.shown)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(self._bars)
        inside.addWidget(self._difference)
        self._counted = ""
        self._about_tiles = QLabel(
            "Explain a slide or a region, or drop a finished store on the viewer: its tiles are "
            "listed here. A click flies there."
        )
        self._about_tiles.setWordWrap(True)
        self.tiles = TileTable()
        self.previous = QPushButton("Previous")
        self.next = QPushButton("Next")
        self.as_layer = QPushButton("Show as a layer")
        self.as_layer.setToolTip(
            "Colour the tiles by what is predicted, in place of the map; the status bar says which "
            "class and how sure."
        )
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.hide()
        self.save_table = QPushButton("Save CSV ...")
        self.save_table.setToolTip("The table of tiles, as it is sorted.")
        self.save_picture = QPushButton("Save PNG ...")
        self.save_picture.setToolTip("The bars of the view's predictions.")
        for button in (self.as_layer, self.save_table, self.save_picture):
            button.setEnabled(False)
        for button, key in ((self.previous, PREVIOUS), (self.next, NEXT)):
            button.setToolTip(f"{key}, with the canvas in focus")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(row_of(self.predict, self.live, self.cancel))
        layout.addWidget(self.status_line)
        layout.addWidget(self.shown)
        layout.addWidget(self._about_tiles)
        layout.addWidget(self.tiles)
        layout.addLayout(row_of(self.previous, self.next, self.as_layer))
        layout.addWidget(self.legend)
        layout.addLayout(row_of(self.save_table, self.save_picture))
        self.put_into_a_scroll_area(content)
        self.predict.clicked.connect(self.ask_view)
        self.tiles.chosen.connect(self._fly)
        self.next.clicked.connect(lambda: self.tiles.step(1))
        self.as_layer.clicked.connect(self.show_layer)
        self.previous.clicked.connect(lambda: self.tiles.step(-1))
        self.save_table.clicked.connect(self._ask_where_table)
        self.save_picture.clicked.connect(self._ask_where_picture)
        self.hear(self.session.choice.explained, self._list)
        self.hear(viewer.layers.events.removed, self._show_legend)
        self._stored = StoredTiles(viewer, self)
        self._stored.begun.connect(self._on_store)
        self._stored.read.connect(self._list)
        self._stored.failed.connect(self._about_tiles.setText)
        self.hear(viewer.layers.events.inserted, self._on_inserted)
        if self.session.choice.last_explained is not None:
            self._list(*self.session.choice.last_explained)
        else:
            self._stored.read_open_ones()
        for key, by in ((NEXT, 1), (PREVIOUS, -1)):
            viewer.bind_key(key, partial(self._step, by), overwrite=True)
            self.at_end(partial(viewer.bind_key, key, None, overwrite=True))

    @property
    def difference(self) -> str:
        """What is said of the denoising."""
        return str(self._difference.text())

    def ask_view(self) -> None:
        """Predict what is in view."""

        def make(chosen: Chosen) -> Made:
            called = chosen.spec.denoising_label.replace("_", " ")
            return called, lambda explain: Predict(id=explain.id, explain=explain)

        self.ask(make, "Predicting ...")

    def show_answer(self, job: Job, answer: Answer) -> None:
        """Show the bars, and what the denoising changes."""
        assert isinstance(answer, Predicted), "nothing else was asked"
        self._show(job.what, answer)

    def show_layer(self) -> None:
        """Show what is predicted of the tiles in the table over their slide."""
        if self._slide is None or self._slide.layer not in self.viewer.layers:
            self.say("the slide of these tiles is not open any more", problem=True)
            return
        classes = self._classes
        if not classes:
            with contextlib.suppress(SmoothsalError):
                classes = self.session.choice.now().model.classes
        colours = class_colours(self._rows, classes)
        self._layer = PredictionLayer(self.viewer, self._slide, self._rows, colours).layer
        squares = [
            f'<span style="color:{colour}">&#9632;</span>&nbsp;{name}'
            for name, colour in colours.items()
        ]
        self.legend.setText(f"Tiles are coloured by what is predicted: {' &nbsp; '.join(squares)}")
        self.hear(self._layer.events.visible, self._show_legend)
        self._show_legend()

    def write_table(self, path: Path) -> None:
        """Write the table of tiles as CSV."""
        self.tiles.write(path)

    def write_picture(self, path: Path) -> None:
        """Write the bars as PNG."""
        save_picture(self.shown, path, (self._counted,))

    def _ask_where_table(self) -> None:
        self.save("Save the tiles", "tiles.csv", self.write_table)

    def _ask_where_picture(self) -> None:
        self.save("Save the predictions", "predictions.png", self.write_picture)

    def _show(self, denoising: str, found: Predicted) -> None:
        while (item := self._bars.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self._difference.setText("")
        self.save_picture.setEnabled(bool(found.tiles))
        if not found.tiles:
            self.say("No tissue found here: nothing to predict.")
            return
        counts = ", ".join(f"{n} {name}" for name, n in found.predicted.items())
        some = f" of {found.of}, spread over the view" if found.of > found.tiles else ""
        weak = f"; {found.weak} {UNSURE}, below {LEAST_PROBABILITY:g}" if found.weak else ""
        self._counted = f"{found.tiles} tiles{some}: {counts}{weak}. Mean probability of a tile."
        self.say(self._counted)
        heads = ["", "model"] + ([denoising] if found.denoised is not None else [])
        for column, text in enumerate(heads):
            self._bars.addWidget(QLabel(text), 0, column)
        ranked = sorted(found.original, key=lambda name: -found.original[name])[:MOST_CLASSES]
        for row, name in enumerate(ranked, start=1):
            self._bars.addWidget(QLabel(name), row, 0)
            self._bars.addWidget(_bar(found.original[name]), row, 1)
            if found.denoised is not None:
                self._bars.addWidget(_bar(found.denoised[name]), row, 2)
        if found.denoised is None:
            self._difference.setText(f"{denoising} leaves the predictions as they are.")
        elif found.difference_all is not None and found.difference_label is not None:
            self._difference.setText(
                f"Under {denoising} another network is explained. Prediction difference, x100: "
                f"<b>{found.difference_all:.2f}</b> over all classes, "
                f"<b>{found.difference_label:.2f}</b> of the class predicted."
            )

    def _show_legend(self, _event: Any = None) -> None:
        seen = self._layer is not None and self._layer in self.viewer.layers
        self.legend.setVisible(seen and self._layer.visible)

    def _on_inserted(self, event: Any) -> None:
        self._stored.read_of(event.value)

    def _on_store(self) -> None:
        self._about_tiles.setText("Reading the tiles of the store ...")

    def _list(
        self, slide: ExplainedSlide, rows: tuple[TileRow, ...], classes: tuple[str, ...] = ()
    ) -> None:
        self._slide, self._rows, self._classes = slide, rows, classes
        self.tiles.show_rows(rows)
        for button in (self.as_layer, self.save_table):
            button.setEnabled(bool(rows))
        first = "the first " if len(rows) == MOST_ROWS else ""
        explained = sum(row.saliency is not None for row in rows)
        left_out = f", {explained} of them explained" if explained < len(rows) else ""
        self._about_tiles.setText(
            f"Predicted: {first}{len(rows)} tiles{left_out}. A click flies there, a heading sorts."
        )

    def _step(self, by: int, _viewer: Any) -> None:
        self.tiles.step(by)

    def _fly(self, row: TileRow) -> None:
        if self._slide is not None and self._slide.layer in self.viewer.layers:
            x, y, w, h = row.box
            look_at(self.viewer, self._slide.world((y, x)), self._slide.world((y + h, x + w)))


def _bar(share: float) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, 1000)
    bar.setValue(round(1000 * share))
    bar.setFormat(f"{share:.3f}")
    return bar
