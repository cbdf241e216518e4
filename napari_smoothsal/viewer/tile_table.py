"""TileTable: the tiles of a run, sorted as one likes; a click flies there."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QAbstractTableModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_smoothsal.viewer.told import TileRow

COLUMNS = ("predicted", "p", "saliency", "TV", "disagrees")
TOOLTIPS = (
    "Class that the model predicts for the tile.",
    "Probability of the class that is explained, or, where that differs by tile, of the one "
    "predicted.",
    "Mean magnitude of the map in the tile.",
    "Total variation: how rough the tile's map is; less is smoother.",
)
BETWEEN_NETWORKS = (
    "Between the model and the network that the denoising explains: absolute differences of their "
    "probabilities, summed over classes."
)
WITH_THE_TARGET = (
    "Between what is explained and what is predicted: 1 less the probability of the class that is "
    "explained, where another class is predicted, else 0. The denoising leaves the network as it "
    "is, so that between networks there is none."
)
SAVED = ("predicted", "probability", "saliency", "total_variation", "difference", "against")
"""What is saved of each tile, beside its box."""
SORTED_BY = COLUMNS.index("saliency")
_SORT_ROLE = Qt.ItemDataRole.UserRole


class _Rows(QAbstractTableModel):
    def __init__(self, rows: Sequence[TileRow], parent: Any) -> None:
        super().__init__(parent)
        self.rows = list(rows)
        self._changed = any(row.difference is not None for row in self.rows)

    def rowCount(self, _parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        return len(self.rows)

    def columnCount(self, _parent: QModelIndex | None = None) -> int:  # noqa: N802
        return len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.rows[index.row()]
        disagreement = row.difference if self._changed else row.against
        value = (
            row.predicted,
            row.probability,
            row.saliency,
            row.total_variation,
            disagreement,
        )[index.column()]
        if role == _SORT_ROLE:
            return float("-inf") if value is None else value
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return value if isinstance(value, str) else ("-" if value is None else f"{value:.3g}")

    def headerData(  # noqa: N802
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return section + 1 if role == Qt.ItemDataRole.DisplayRole else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return (*TOOLTIPS, BETWEEN_NETWORKS if self._changed else WITH_THE_TARGET)[section]
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None


class TileTable(QTableView):
    """The table.

    Signals
    -------
    chosen(object)
        The `TileRow` that was clicked, or stepped to.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSortRole(_SORT_ROLE)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.horizontalHeader()
        assert header is not None
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.clicked.connect(self._on_click)

    def show_rows(self, rows: Sequence[TileRow]) -> None:
        """Show the tiles of a run, the strongest first."""
        before = self._sorted.sourceModel()
        self._sorted.setSourceModel(_Rows(rows, self))
        if before is not None:
            before.deleteLater()
        self.sortByColumn(SORTED_BY, Qt.SortOrder.DescendingOrder)

    def row_at(self, number: int) -> TileRow:
        """A tile as the table is sorted now."""
        source = self._sorted.sourceModel()
        assert isinstance(source, _Rows)
        return source.rows[self._sorted.mapToSource(self._sorted.index(number, 0)).row()]

    def write(self, path: Path) -> None:
        """Write the tiles as CSV, as they are sorted now; boxes are in level-0 px."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("x_px", "y_px", "w_px", "h_px", *SAVED))
            for number in range(self._sorted.rowCount()):
                row = self.row_at(number)
                writer.writerow((*row.box, *(getattr(row, name) for name in SAVED)))

    def step(self, by: int) -> None:
        """Choose the tile so many rows further, from the first one again after the last."""
        count = self._sorted.rowCount()
        if count:
            now = self.currentIndex().row()
            number = (now + by) % count if now >= 0 else (0 if by > 0 else count - 1)
            self.selectRow(number)
            self.setCurrentIndex(self._sorted.index(number, 0))
            self.chosen.emit(self.row_at(number))

    def _on_click(self, index: QModelIndex) -> None:
        self.chosen.emit(self.row_at(index.row()))
