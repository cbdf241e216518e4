"""The Total variation dock: how rough each layer's map is under each denoising."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.viewer.asking import WAITING, Asking, Job
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.messages import (
    Answer,
    Explain,
    Failed,
    Measure,
    Measured,
    Stopped,
)
from napari_smoothsal.viewer.roughness_plot import RoughnessPlot
from napari_smoothsal.viewer.run_bar import PROBLEM

if TYPE_CHECKING:
    import napari

VIEW_TILES, SLIDE_TILES = 9, 48
"""Measured at most; spread evenly over the tissue."""
COMPARED = ("original", "bilinear_surrogate", "backward_hook", "forward_hook", "centred_hook")


class TotalVariationDock(LeavingDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._layers: tuple[str, ...] = ()
        self._found: Measured | None = None
        self.view = QPushButton("Measure view")
        self.view.setToolTip(f"Up to {VIEW_TILES} tiles of what is in the window.")
        self.slide = QPushButton("Measure slide")
        self.slide.setToolTip(f"{SLIDE_TILES} tiles, spread over the tissue of the slide.")
        self.live = QPushButton("Live")
        self.live.setCheckable(True)
        self.live.setToolTip("Measure the view again by itself when it, or a setting, has changed.")
        self.save_table = QPushButton("Save CSV ...")
        self.save_picture = QPushButton("Save PNG ...")
        self.plot = RoughnessPlot()
        self.table = QTableWidget(0, 0)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.cancel = QPushButton("Cancel")
        self.cancel.setEnabled(False)
        self._status = QLabel(
            "Total variation says how rough a map is; less is smoother. It does not say whether "
            "a map is right."
        )
        self._status.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addLayout(_row(self.view, self.live, self.slide, self.cancel))
        layout.addWidget(self._status)
        layout.addWidget(self.plot)
        layout.addWidget(self.table)
        layout.addLayout(_row(self.save_table, self.save_picture))
        self._last: object = None
        self._asking = Asking(self.session, self)
        self.cancel.clicked.connect(self._asking.cancel)
        self.at_end(self._asking.abandon)
        self._asking.told.connect(self._on_answer)
        self._asking.ended.connect(self._on_answer)
        self.view.clicked.connect(self.measure_view)
        self.slide.clicked.connect(self.measure_slide)
        self.live.toggled.connect(self._on_settled)
        self.save_table.clicked.connect(self._ask_where_table)
        self.save_picture.clicked.connect(self._ask_where_picture)
        self.hear(self.session.engine.answered, self._asking.hear)
        self.hear(self.session.engine.died, self._on_death)
        self.hear(self.session.choice.settled, self._on_settled)
        self._enable()

    @property
    def busy(self) -> bool:
        """Whether something is being measured."""
        return self._asking.job is not None

    @property
    def status(self) -> str:
        """What is said."""
        return str(self._status.text())

    @property
    def found(self) -> Measured | None:
        """What was measured last, as far as it is."""
        return self._found

    def measure_view(self) -> None:
        """Measure what is in view."""
        self._measure(view=True)

    def measure_slide(self) -> None:
        """Measure tiles of the whole slide."""
        self._measure(view=False)

    def write_table(self, path: Path) -> None:
        """Write the table as CSV."""
        assert self._found is not None, "the button is off without a table"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("layer", "denoising", "tv_mean", "tv_std", "tiles"))
            for row in self._found.rows:
                writer.writerow((row.layer, row.denoising, row.mean, row.std, self._found.tiles))

    def _measure(self, *, view: bool) -> None:
        scratch = self.session.new_folder()
        try:
            slide, spec, model = self.session.choice.now()
            region = slide.view(self.viewer) if view else None
            sent, steps = slide.handed_over(region, model.tile_um, scratch)
        except SmoothsalError as error:
            self.session.discard(scratch)
            self._say(str(error), problem=True)
            return
        layers = tuple(layer.name for layer in model.layers if layer.main and layer.to_denoise)
        if not layers:
            self.session.discard(scratch)
            self._say(f"Model {model.name!r} has no strided convolution to denoise.", problem=True)
            return
        denoisings = tuple(n for n in COMPARED if n != "bilinear_surrogate" or model.surrogate)
        self._layers = layers
        most = VIEW_TILES if view else SLIDE_TILES

        def make(number: int) -> Measure:
            explain = Explain(
                id=number,
                slide=sent,
                model=model.model,
                spec=spec,
                compute=Compute(batch_size=model.view_batch),
                region=region,
                out="",
                view=view,
            )
            return Measure(
                id=number,
                explain=explain,
                layers=layers,
                denoisings=denoisings,
                most_tiles=most,
            )

        what = "view" if view else "slide"
        self._say(WAITING if self._asking.must_wait else f"Measuring this {what} ...")
        self.cancel.setEnabled(True)
        self._asking.begin(Job(what, None, scratch, make, steps, view))

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
            self.measure_view()

    def _on_answer(self, job: Job, answer: Answer) -> None:
        if isinstance(answer, Measured):
            self._found = answer
            self._show(job.what, answer)
        elif isinstance(answer, Failed):
            self._say(answer.message, problem=True)
        elif isinstance(answer, Stopped):
            self._say("Stopped.")
        self._enable()

    def _show(self, what: str, found: Measured) -> None:
        if not found.tiles:
            self._say("No tissue found here: nothing to measure.")
            return
        so_far = "" if found.complete else f" of {found.of} so far"
        self._say(f"This {what}: {found.tiles} tiles{so_far}, mean \u00b1 standard deviation.")
        self.plot.show_measured(self._layers, found)
        denoisings = list(dict.fromkeys(row.denoising for row in found.rows))
        self.table.setRowCount(len(denoisings))
        self.table.setColumnCount(len(self._layers))
        self.table.setHorizontalHeaderLabels(list(self._layers))
        self.table.setVerticalHeaderLabels([name.replace("_", " ") for name in denoisings])
        for row in found.rows:
            text = "-" if row.mean is None else f"{row.mean:.2f} \u00b1 {row.std:.2f}"
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self.table.setItem(denoisings.index(row.denoising), self._layers.index(row.layer), item)
        header = self.table.horizontalHeader()
        assert header is not None
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def _on_death(self, cause: str) -> None:
        if self._asking.forget() is not None:
            self._say(cause, problem=True)

    def _say(self, text: str, *, problem: bool = False) -> None:
        self._status.setStyleSheet(PROBLEM if problem else "")
        self._status.setText(text[:1].upper() + text[1:])

    def _enable(self) -> None:
        there = self._found is not None and bool(self._found.tiles)
        for button in (self.save_table, self.save_picture):
            button.setEnabled(there)
        self.cancel.setEnabled(self.busy)

    def _ask_where_table(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", "total_variation.csv")
        if path:
            self.write_table(Path(path))

    def _ask_where_picture(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the plot", "total_variation.png")
        if path and not self.plot.save(Path(path)):
            self._say(f"{Path(path).name} could not be written", problem=True)


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
