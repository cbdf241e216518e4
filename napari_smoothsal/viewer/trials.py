"""Trials: what was tried on views, in the order in which it was, as a table; a click shows one."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QTableWidget, QTableWidgetItem, QWidget

from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.row_table import made_of_rows
from napari_smoothsal.viewer.told_of_trials import Tried

COLUMNS = ("what", "fill", "class", "before", "after", "change")
TOOLTIPS = (
    "Number, and whether what is drawn was removed, or revealed and everything else removed.",
    "What the replaced pixels show.",
    "Whose mean probability over the tiles of the view is listed: the class that is explained, or "
    "else the most likely one.",
    "Of the view as it is.",
    "Of the changed view.",
    "After less before.",
)
SAVED = ("number", "what", "fill", "class", "before", "after", "change", "tiles", "touched")


class TriedView(NamedTuple):
    """Of what a trial is: trials of one can be compared.

    Attributes
    ----------
    slide
        Id of its layer.
    region
        (x, y, w, h) in level-0 px.
    settings
        Model, spec and the like, as text.
    """

    slide: str
    region: Region
    settings: str

    def holds(self, slide: str, drawn: Region) -> bool:
        """Whether what is drawn on a slide lies in it."""
        (x, y, w, h), (left, top, width, height) = drawn, self.region
        inside = left <= x and top <= y and x + w <= left + width and y + h <= top + height
        return slide == self.slide and inside


@dataclass(eq=False)
class Trial:
    """One trial.

    Attributes
    ----------
    number
        From 1 on, also when earlier ones are undone.
    what, fill
        In words.
    slide, view
        Of which.
    target
        The class that is explained; another label where that is no class.
    said
        By the engine.
    layers
        The replaced pixels, and the map of the changed view once it is there.
    before
        The map of the view as it is.
    """

    number: int
    what: str
    fill: str
    slide: ExplainedSlide
    view: TriedView
    target: str
    said: Tried
    layers: list[Any] = field(default_factory=list)
    before: Any = None

    @property
    def name(self) -> str:
        """In a layer's name."""
        return f"what if {self.number}: {self.what}, {self.fill}"

    @property
    def followed(self) -> str:
        """The class whose probability is listed; empty without one."""
        known = self.said.before
        if self.target in known:
            return self.target
        return max(known, key=lambda name: known[name], default="")

    @property
    def figures(self) -> tuple[float, float, float] | None:
        """Probability of that class before and after, and the difference; None without any."""
        name = self.followed
        if not name or name not in self.said.after:
            return None
        before, after = self.said.before[name], self.said.after[name]
        return before, after, after - before

    @property
    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        figures, what = self.figures, f"{self.number} {self.what}"
        if figures is None:
            return (what, self.fill, "-", "-", "-", "-")
        before, after, change = figures
        numbers = (f"{before:.3f}", f"{after:.3f}", f"{change:+.3f}")
        return (what, self.fill, self.followed, *numbers)


class TrialTable(QTableWidget):
    """The table.

    Signals
    -------
    chosen(object)
        The `Trial` that was clicked, or is the last one after another was taken away.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.trials: list[Trial] = []
        made_of_rows(self, COLUMNS, TOOLTIPS)
        rows = self.verticalHeader()
        assert rows is not None
        rows.hide()
        self.itemSelectionChanged.connect(self._on_selection)

    @property
    def current(self) -> Trial | None:
        """The one that is chosen."""
        row = self.currentRow()
        return self.trials[row] if 0 <= row < len(self.trials) else None

    def add(self, trial: Trial) -> None:
        """List a trial, and choose it."""
        self.trials.append(trial)
        row = self.rowCount()
        self.insertRow(row)
        for column, text in enumerate(trial.cells):
            item = QTableWidgetItem(text)
            if column >= COLUMNS.index("before"):
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
        self.selectRow(row)

    def take_last(self) -> Trial:
        """Take the last trial off the list; the one before it is chosen."""
        trial = self.trials.pop()
        with QSignalBlocker(self):
            self.removeRow(len(self.trials))
            self.clearSelection()
            self.setCurrentCell(-1, -1)
        if self.trials:
            self.selectRow(len(self.trials) - 1)
        return trial

    def write(self, path: Path) -> None:
        """Write all of them as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(SAVED)
            for trial in self.trials:
                figures = trial.figures or ("", "", "")
                said = trial.said
                words = (trial.number, trial.what, trial.fill, trial.followed)
                writer.writerow((*words, *figures, said.tiles, said.touched))

    def _on_selection(self) -> None:
        trial = self.current
        if trial is not None and self.selectedItems():
            self.chosen.emit(trial)
