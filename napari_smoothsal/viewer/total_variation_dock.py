"""The Total variation dock: how rough each layer's map is under each denoising."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.viewer.asked import Measure
from napari_smoothsal.viewer.asking import Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.measuring_dock import Made, MeasuringDock, row_of
from napari_smoothsal.viewer.requests import NotExplainableError
from napari_smoothsal.viewer.roughness_plot import RoughnessPlot
from napari_smoothsal.viewer.saved_picture import save_picture
from napari_smoothsal.viewer.told import Answer, Measured

if TYPE_CHECKING:
    import napari

VIEW_TILES, SLIDE_TILES = 9, 48
"""Measured at most; spread evenly over the tissue."""
COMPARED = ("original", "bilinear_surrogate", "backward_hook", "forward_hook", "centred_hook")


class TotalVariationDock(MeasuringDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(
            viewer,
            "Total variation says how rough a map is; less is smoother. It does not say whether a "
            "map is right.",
            "Measure the view again by itself when it, or a setting, has changed.",
            parent,
        )
        self._layers: tuple[str, ...] = ()
        self._found: Measured | None = None
        self.view = QPushButton("Measure view")
        self.view.setToolTip(f"Up to {VIEW_TILES} tiles of what is in the window.")
        self.slide = QPushButton("Measure slide")
        self.slide.setToolTip(f"{SLIDE_TILES} tiles, spread over the tissue of the slide.")
        self.save_table = QPushButton("Save CSV ...")
        self.save_picture = QPushButton("Save PNG ...")
        self.plot = RoughnessPlot()
        self.table = QTableWidget(0, 0)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(row_of(self.view, self.live, self.slide, self.cancel))
        layout.addWidget(self.status_line)
        layout.addWidget(self.plot)
        layout.addWidget(self.table)
        layout.addLayout(row_of(self.save_table, self.save_picture))
        self.put_into_a_scroll_area(content)
        self.view.clicked.connect(self.ask_view)
        self.slide.clicked.connect(self.measure_slide)
        self.save_table.clicked.connect(self._ask_where_table)
        self.save_picture.clicked.connect(self._ask_where_picture)
        self._enable()

    @property
    def found(self) -> Measured | None:
        """What was measured last, as far as it is."""
        return self._found

    def ask_view(self) -> None:
        """Measure what is in view."""
        self._measure("view", VIEW_TILES)

    def measure_slide(self) -> None:
        """Measure tiles of the whole slide."""
        self._measure("slide", SLIDE_TILES)

    def write_table(self, path: Path) -> None:
        """Write the table as CSV."""
        assert self._found is not None, "the button is off without a table"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("layer", "denoising", "tv_mean", "tv_std", "tiles"))
            for row in self._found.rows:
                writer.writerow((row.layer, row.denoising, row.mean, row.std, self._found.tiles))

    def write_picture(self, path: Path) -> None:
        """Write the plot as PNG."""
        save_picture(self.plot, path)

    def _measure(self, what: str, most_tiles: int) -> None:
        def make(chosen: Chosen) -> Made:
            model = chosen.model
            layers = tuple(layer.name for layer in model.layers if layer.main and layer.to_denoise)
            if not layers:
                raise NotExplainableError(
                    f"model {model.name!r} has no strided convolution to denoise"
                )
            self._layers = layers
            names = tuple(n for n in COMPARED if n != "bilinear_surrogate" or model.surrogate)
            return what, lambda explain: Measure(
                id=explain.id,
                explain=explain,
                layers=layers,
                denoisings=names,
                most_tiles=most_tiles,
            )

        self.ask(make, f"Measuring this {what} ...", view=what == "view")

    def show_answer(self, job: Job, answer: Answer) -> None:
        """Plot and list what is measured so far."""
        assert isinstance(answer, Measured), "nothing else was asked"
        self._found = answer
        self._show(job.what, answer)
        self._enable()

    def _show(self, what: str, found: Measured) -> None:
        if not found.tiles:
            self.say("No tissue found here: nothing to measure.")
            return
        so_far = "" if found.complete else f" of {found.of} so far"
        self.say(f"This {what}: {found.tiles} tiles{so_far}, mean \u00b1 standard deviation.")
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

    def _enable(self) -> None:
        there = self._found is not None and bool(self._found.tiles)
        for button in (self.save_table, self.save_picture):
            button.setEnabled(there)

    def _ask_where_table(self) -> None:
        self.save("Save the table", "total_variation.csv", self.write_table)

    def _ask_where_picture(self) -> None:
        self.save("Save the plot", "total_variation.png", self.write_picture)
