"""ColumnsBar: which column is shown, on which scale; the keys that do the same."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QWidget,
)

STEPS = 10
"""Of the slider to either side; each end is `FURTHEST` times the limits, or a part of them."""
FURTHEST = 8.0
BLINK = "Blink"


class ColumnsBar(QWidget):
    """Buttons above the columns.

    Signals
    -------
    chosen(object)
        The number of the one column that is to be shown, or None: all beside each other.
    scaled()
        The scale, or how strong the colours are, was changed.
    """

    chosen = Signal(object)
    scaled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at: int | None = None
        self._count = 0
        self._held_from: tuple[int | None] | None = None
        self._group = QButtonGroup(self)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.side_by_side = self._button("Side by side", "All columns (key 0).")
        self._ones: list[QPushButton] = []
        self.blink = QPushButton(BLINK)
        self.blink.setToolTip(
            "Show the next column in the same place (key B). While the space bar is held down, the "
            "next one is shown."
        )
        self.blink.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.one_scale = QCheckBox("one colour scale")
        self.one_scale.setChecked(True)
        self.one_scale.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.strength = QSlider(Qt.Orientation.Horizontal)
        self.strength.setRange(-STEPS, STEPS)
        self.strength.setFixedWidth(90)
        self.strength.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.strength.setToolTip(
            "How strong the colours are: to the right less is full colour, in all columns alike."
        )
        self._layout.addWidget(self.side_by_side)
        self._layout.addWidget(self.blink)
        self._layout.addStretch(1)
        self._layout.addWidget(self.one_scale)
        self._layout.addWidget(QLabel("strength"))
        self._layout.addWidget(self.strength)
        self.side_by_side.setChecked(True)
        self.side_by_side.clicked.connect(lambda: self.show_one(None))
        self.blink.clicked.connect(self.show_next)
        self.one_scale.toggled.connect(self.scaled)
        self.strength.valueChanged.connect(self.scaled)

    @property
    def at(self) -> int | None:
        """The one column that is shown; None where all are."""
        return self._at

    @property
    def ones(self) -> list[QPushButton]:
        """The button of each column."""
        return list(self._ones)

    @property
    def factor(self) -> float:
        """By what the limits of all columns are multiplied."""
        return float(FURTHEST ** (-self.strength.value() / STEPS))

    def name(self, names: Sequence[str]) -> None:
        """One button for each column; the same ones as before leave what is shown."""
        if [button.text() for button in self._ones] == list(names):
            return
        for button in self._ones:
            self._group.removeButton(button)
            button.deleteLater()
        self._ones = []
        for number, name in enumerate(names):
            button = self._button(name, f"{name}, alone (key {number + 1}).")
            button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, number=number: self.show_one(number))
            self._layout.insertWidget(1 + number, button)
            self._ones.append(button)
        self._count = len(names)
        self.show_one(None)

    def compare_scales(self, comparable: bool, why_not: str) -> None:
        """Whether one scale means anything, and why not."""
        self.one_scale.setEnabled(comparable)
        self.one_scale.setToolTip(
            "The same value as full colour in all columns." if comparable else why_not
        )

    def show_one(self, number: int | None) -> None:
        """Show one column, or all."""
        if number is not None and number >= self._count:
            return
        self._at = number
        button = self.side_by_side if number is None else self._ones[number]
        button.setChecked(True)
        self.chosen.emit(number)

    def show_next(self) -> None:
        """Show the column after the one that is shown; from all of them, the first."""
        if self._count:
            self.show_one(0 if self._at is None else (self._at + 1) % self._count)

    def press(self, key: int) -> bool:
        """A key went down; whether it means something."""
        if key == Qt.Key.Key_B:
            self.show_next()
        elif key == Qt.Key.Key_Space:
            if self._held_from is None:
                self._held_from = (self._at,)
                self.show_next()
        elif Qt.Key.Key_0 <= key <= Qt.Key.Key_4:
            number = key - Qt.Key.Key_0
            self.show_one(number - 1 if number else None)
        else:
            return False
        return True

    def release(self, key: int) -> None:
        """A key went up, or the window is left."""
        if key == Qt.Key.Key_Space and self._held_from is not None:
            (before,), self._held_from = self._held_from, None
            self.show_one(before)

    def _button(self, text: str, tooltip: str) -> QPushButton:
        button = QPushButton(text)
        button.setCheckable(True)
        button.setToolTip(tooltip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._group.addButton(button)
        return button
