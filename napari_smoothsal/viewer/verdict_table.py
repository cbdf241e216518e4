"""VerdictTable: the places of a map, judged or not, in a list; a click flies there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_smoothsal.core.hotspot import Hotspot
from napari_smoothsal.viewer.row_table import made_of_rows

if TYPE_CHECKING:
    from napari_smoothsal.runs.verdicts import Verdict

COLUMNS = ("class", "verdict", "mean", "area", "note")
TOOLTIPS = (
    "What the map explains.",
    "What was said of the place; - where nobody has said anything yet.",
    "Mean of the map in the place.",
    "Of the place, in square micrometres.",
    "",
)


class Place(NamedTuple):
    """A row: a place, and what was said of it, if anything."""

    hotspot: Hotspot
    class_name: str
    verdict: Verdict | None = None


class VerdictTable(QTableWidget):
    """The table.

    Signals
    -------
    chosen(object)
        The `Place` that was clicked.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.places: tuple[Place, ...] = ()
        made_of_rows(self, COLUMNS, TOOLTIPS)
        header = self.horizontalHeader()
        assert header is not None
        header.setStretchLastSection(True)
        self.cellClicked.connect(self._on_click)

    @property
    def place(self) -> Place | None:
        """The chosen row."""
        row = self.currentRow()
        return self.places[row] if 0 <= row < len(self.places) else None

    def show_places(self, places: Sequence[Place], chosen: int = -1) -> None:
        """Show rows, one of which is chosen; -1: none."""
        self.places = tuple(places)
        self.setRowCount(len(places))
        for row, place in enumerate(places):
            for column, text in enumerate(_texts(place)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column in (2, 3):
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.setItem(row, column, item)
        self.clearSelection()
        self.setCurrentCell(chosen, 0 if chosen >= 0 else -1)

    def choose(self, row: int) -> None:
        """Choose a row, as a click on it does."""
        self.setCurrentCell(row, 0)
        self._on_click(row)

    def _on_click(self, row: int, _column: int = 0) -> None:
        self.chosen.emit(self.places[row])


def _texts(place: Place) -> tuple[str, ...]:
    mean, verdict = place.hotspot.mean, place.verdict
    return (
        place.class_name,
        "-" if verdict is None else verdict.said,
        "-" if mean is None else f"{mean:+.3g}",
        f"{place.hotspot.area_um2:,.0f}",
        "" if verdict is None else verdict.note,
    )
