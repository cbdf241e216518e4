"""ClassBars: probabilities of classes as bars, in two columns or more beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QWidget

MOST_CLASSES = 12
"""The likeliest of the first column; of more nobody reads bars."""


class ClassBars(QWidget):
    """The bars.

    Parameters
    ----------
    heads
        Of the columns.
    """

    def __init__(self, heads: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heads = tuple(heads)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)

    def show_classes(self, *columns: Mapping[str, float]) -> None:
        """Show probabilities, 0..1, of the classes of the first column; nothing of empty ones."""
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        if not columns or not columns[0]:
            return
        for number, head in enumerate(self._heads[: len(columns)], start=1):
            self._grid.addWidget(QLabel(head), 0, number)
        ranked = sorted(columns[0], key=lambda name: -columns[0][name])[:MOST_CLASSES]
        for row, name in enumerate(ranked, start=1):
            self._grid.addWidget(QLabel(name), row, 0)
            for number, column in enumerate(columns, start=1):
                if name in column:
                    self._grid.addWidget(_bar(column[name]), row, number)


def _bar(share: float) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, 1000)
    bar.setValue(round(1000 * share))
    bar.setFormat(f"{share:.3f}")
    return bar
