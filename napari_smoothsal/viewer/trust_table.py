"""TrustTable: the tests of a trust card, a row each, with a column for each tile."""

from __future__ import annotations

import csv
from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_smoothsal.viewer.told_trust import ResultCell, TrustTold

MARKS = {"passed": "\u2713", "in part": "~", "not passed": "\u2717", "not tested": "\u2013"}
COLOURS = {
    "passed": "#56B4E9",
    "in part": "#F0E442",
    "not passed": "#E69F00",
    "not tested": "#9aa4b2",
}
"""Okabe and Ito's, for every colour vision; the marks say the same."""
TEST, MEANS = "test", "what it says"
FRAME_PX = 2


class TrustTable(QTableWidget):
    """As high as its rows need.

    Signals
    -------
    tile_chosen(int)
        The heading of a tile was clicked.
    """

    tile_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 0, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrap(True)
        rows = self.verticalHeader()
        assert rows is not None
        rows.hide()
        self.headings.setSectionsClickable(True)
        self.headings.sectionClicked.connect(self._choose)
        self._told: TrustTold | None = None
        self._fit()

    @property
    def headings(self) -> QHeaderView:
        """Of the columns."""
        found = self.horizontalHeader()
        assert found is not None
        return found

    def show_told(self, told: TrustTold) -> None:
        """List what is decided so far."""
        self._told = told
        tiles = [f"tile {number + 1}" for number in range(max(1, told.chosen))]
        self.setColumnCount(len(tiles) + 2)
        self.setRowCount(len(told.tests))
        self.setHorizontalHeaderLabels([TEST, *tiles, MEANS])
        for column in range(1, len(tiles) + 1):
            heading = self.horizontalHeaderItem(column)
            assert heading is not None
            heading.setToolTip("A click flies to this tile.")
        for number, row in enumerate(told.tests):
            self._put(number, 0, row.name, row.question)
            for column in range(1, len(tiles) + 1):
                self._put(number, column, "", "Not known yet.")
            for cell in row.cells:
                self._put_cell(number, cell)
            self._put(number, len(tiles) + 1, f"{row.means[:1].upper()}{row.means[1:]}.", "")
        fixed = QHeaderView.ResizeMode.ResizeToContents
        for column in range(len(tiles) + 1):
            self.headings.setSectionResizeMode(column, fixed)
        self.headings.setSectionResizeMode(len(tiles) + 1, QHeaderView.ResizeMode.Stretch)
        self._fit()

    def write(self, path: Path) -> None:
        """Write it as CSV: one line for each test and tile."""
        assert self._told is not None, "the button is off without a table"
        told = self._told
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(
                ("test", "x_px", "y_px", "w_px", "h_px", "result", "value", "found", "asked_for")
            )
            for row in told.tests:
                for cell in row.cells:
                    box = told.boxes[cell.tile]
                    measured = (cell.result, cell.value, cell.found, cell.threshold)
                    writer.writerow((row.name, *box, *measured))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Other widths break lines elsewhere."""
        super().resizeEvent(event)
        self._fit()

    def _put_cell(self, row: int, cell: ResultCell) -> None:
        # Without a sign before a zero.
        value = "" if cell.value is None else f" {round(cell.value, 2) + 0.0:.2f}"
        about = f"{cell.result}: {cell.found}; asked for: {cell.threshold}"
        item = self._put(row, 1 + cell.tile, MARKS[cell.result] + value, about)
        item.setForeground(QColor(COLOURS[cell.result]))
        item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)

    def _put(self, row: int, column: int, text: str, about: str) -> QTableWidgetItem:
        item = QTableWidgetItem(text)
        item.setToolTip(about)
        self.setItem(row, column, item)
        return item

    def _fit(self) -> None:
        self.resizeRowsToContents()
        rows = sum(self.rowHeight(number) for number in range(self.rowCount()))
        height = rows + self.headings.sizeHint().height() + 2 * FRAME_PX
        if self.height() != height:
            self.setFixedHeight(height)

    def _choose(self, column: int) -> None:
        if 1 <= column <= self.columnCount() - 2:
            self.tile_chosen.emit(column - 1)
