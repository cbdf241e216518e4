"""ColourBar: what the colours of the map on show stand for."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_smoothsal.render.colours import STOPS

HEIGHT = 14
PAPER = QColor(238, 225, 236)
"""Pale tissue under the colours: at zero the overlay shows what lies below it."""


class _Gradient(QWidget):
    """The palette over pale tissue."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002, N802 - Qt's name
        painter = QPainter(self)
        box = QRectF(self.rect())
        gradient = QLinearGradient(QPointF(box.left(), 0), QPointF(box.right(), 0))
        for place, colour in STOPS:
            gradient.setColorAt(place, QColor.fromRgbF(*colour))
        painter.fillRect(box, PAPER)
        painter.fillRect(box, gradient)
        painter.end()


class ColourBar(QWidget):
    """The palette with words at its ends; hidden until there is a map."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words = QLabel()
        self._words.setTextFormat(Qt.TextFormat.RichText)
        self._words.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.addWidget(_Gradient())
        layout.addWidget(self._words)
        self.hide()

    @property
    def text(self) -> str:
        """What is written under the colours."""
        return str(self._words.text())

    def show_legend(self, legend: tuple[str, str], limit: float) -> None:
        """Say what the two ends of a map's colours mean."""
        supports, against = legend
        self._words.setText(
            "<table width='100%'><tr>"
            f"<td>{against}</td><td align='right'>{supports}</td></tr></table>"
            "transparent: no influence, or not computed"
        )
        self.setToolTip(f"Full colour at a magnitude of {limit:.3g}: the 99th percentile.")
        self.show()
