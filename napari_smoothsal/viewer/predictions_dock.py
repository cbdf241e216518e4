"""The Predictions dock: what the model predicts here, denoised or not, and a way to each tile."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.viewer.asking import WAITING, Asking, Job
from napari_smoothsal.viewer.field_of_view import look_at
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.messages import (
    MOST_ROWS,
    Answer,
    Explain,
    Failed,
    Predict,
    Predicted,
    TileRow,
)
from napari_smoothsal.viewer.prediction_layer import show_predictions
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.run_bar import PROBLEM
from napari_smoothsal.viewer.tile_table import TileTable

if TYPE_CHECKING:
    import napari

NEXT, PREVIOUS = "Shift-N", "Shift-P"
MOST_CLASSES = 12


class PredictionsDock(LeavingDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._slide: ExplainedSlide | None = None
        self._rows: tuple[TileRow, ...] = ()
        self.predict = QPushButton("Predict view")
        self.predict.setToolTip("What the model predicts of the tiles in the window.")
        self.live = QPushButton("Live")
        self.live.setCheckable(True)
        self.live.setToolTip("Predict again by itself when the view, or a setting, has changed.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setEnabled(False)
        self._status = QLabel("Mean probability over the tiles of the view.")
        self._status.setWordWrap(True)
        self._bars = QGridLayout()
        self._difference = QLabel()
        self._difference.setWordWrap(True)
        self._about_tiles = QLabel(
            "Explain a slide or a region: its tiles are listed here. A click flies there."
        )
        self._about_tiles.setWordWrap(True)
        self.tiles = TileTable()
        self.previous = QPushButton("Previous")
        self.next = QPushButton("Next")
        self.as_layer = QPushButton("Show as a layer")
        self.as_layer.setToolTip(
            "Colour the tiles by what is predicted; the status bar says which class and how sure."
        )
        self.as_layer.setEnabled(False)
        for button, key in ((self.previous, PREVIOUS), (self.next, NEXT)):
            button.setToolTip(f"{key}, with the canvas in focus")
        layout = QVBoxLayout(self)
        layout.addLayout(_row(self.predict, self.live, self.cancel))
        layout.addWidget(self._status)
        layout.addLayout(self._bars)
        layout.addWidget(self._difference)
        layout.addWidget(self._about_tiles)
        layout.addWidget(self.tiles)
        layout.addLayout(_row(self.previous, self.next, self.as_layer))
        self._last: object = None
        self._asking = Asking(self.session, self)
        self.cancel.clicked.connect(self._asking.cancel)
        self.at_end(self._asking.abandon)
        self._asking.ended.connect(self._on_answer)
        self.predict.clicked.connect(self.predict_view)
        self.live.toggled.connect(self._on_settled)
        self.tiles.chosen.connect(self._fly)
        self.next.clicked.connect(lambda: self.tiles.step(1))
        self.as_layer.clicked.connect(self.show_layer)
        self.previous.clicked.connect(lambda: self.tiles.step(-1))
        self.hear(self.session.engine.answered, self._asking.hear)
        self.hear(self.session.engine.died, self._on_death)
        self.hear(self.session.choice.settled, self._on_settled)
        self.hear(self.session.choice.explained, self._list)
        for key, by in ((NEXT, 1), (PREVIOUS, -1)):
            viewer.bind_key(key, partial(self._step, by), overwrite=True)
            self.at_end(partial(viewer.bind_key, key, None, overwrite=True))

    @property
    def busy(self) -> bool:
        """Whether something is being predicted."""
        return self._asking.job is not None

    @property
    def status(self) -> str:
        """What is said above the bars."""
        return str(self._status.text())

    @property
    def difference(self) -> str:
        """What is said of the denoising."""
        return str(self._difference.text())

    def predict_view(self) -> None:
        """Predict what is in view."""
        scratch = self.session.new_folder()
        try:
            slide, spec, model = self.session.choice.now()
            region = slide.view(self.viewer)
            sent, steps = slide.handed_over(region, model.tile_um, scratch)
        except SmoothsalError as error:
            self.session.discard(scratch)
            self._say(str(error), problem=True)
            return

        def make(number: int) -> Predict:
            explain = Explain(
                id=number,
                slide=sent,
                model=model.model,
                spec=spec,
                compute=Compute(batch_size=model.view_batch),
                region=region,
                out="",
                view=True,
                max_tiles=model.most_view_tiles,
            )
            return Predict(id=number, explain=explain)

        self._say(WAITING if self._asking.must_wait else "Predicting ...")
        self.cancel.setEnabled(True)
        self._asking.begin(Job(spec.denoising_label, None, scratch, make, steps))

    def show_layer(self) -> None:
        """Show what is predicted of the tiles in the table over their slide."""
        if self._slide is None or self._slide.layer not in self.viewer.layers:
            self._say("the slide of these tiles is not open any more", problem=True)
            return
        classes = sorted({row.predicted for row in self._rows})
        with contextlib.suppress(SmoothsalError):
            classes = list(self.session.choice.now()[2].classes)
        show_predictions(self.viewer, self._slide, self._rows, classes)

    def _on_settled(self, _value: Any = None) -> None:
        job = self._asking.job
        if not self.live.isChecked() or (job is not None and not job.view):
            return
        try:
            key = self.session.choice.key(self.viewer)
        except SmoothsalError as error:
            self._say(str(error), problem=True)
            return
        if key != self._last:
            self._last = key
            self.predict_view()

    def _on_answer(self, job: Job, answer: Answer) -> None:
        self.cancel.setEnabled(False)
        if isinstance(answer, Predicted):
            self._show(job.what.replace("_", " "), answer)
        elif isinstance(answer, Failed):
            self._say(answer.message, problem=True)
        else:
            self._say("Stopped.")

    def _show(self, denoising: str, found: Predicted) -> None:
        while (item := self._bars.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self._difference.setText("")
        if not found.tiles:
            self._say("No tissue found here: nothing to predict.")
            return
        counts = ", ".join(f"{n} {name}" for name, n in found.predicted.items())
        some = f" of {found.of}, spread over the view" if found.of > found.tiles else ""
        self._say(f"{found.tiles} tiles{some}: {counts}. Mean probability of a tile:")
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

    def _list(self, slide: ExplainedSlide, rows: tuple[TileRow, ...]) -> None:
        self._slide, self._rows = slide, rows
        self.tiles.show_rows(rows)
        self.as_layer.setEnabled(bool(rows))
        first = "the first " if len(rows) == MOST_ROWS else ""
        self._about_tiles.setText(
            f"Explained: {first}{len(rows)} tiles. A click flies there, a heading sorts."
        )

    def _step(self, by: int, _viewer: Any) -> None:
        self.tiles.step(by)

    def _fly(self, row: TileRow) -> None:
        if self._slide is not None and self._slide.layer in self.viewer.layers:
            look_at(self.viewer, self._slide.layer, row.box)

    def _on_death(self, cause: str) -> None:
        if self._asking.forget() is not None:
            self._say(cause, problem=True)

    def _say(self, text: str, *, problem: bool = False) -> None:
        self._status.setStyleSheet(PROBLEM if problem else "")
        self._status.setText(text[:1].upper() + text[1:])


def _bar(share: float) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, 1000)
    bar.setValue(round(1000 * share))
    bar.setFormat(f"{share:.3f}")
    return bar


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
