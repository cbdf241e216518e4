"""ColourBar: what the colours of the map on show stand for."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_smoothsal.render.colours import NOT_COMPUTED, Stop, bar_stops
from napari_smoothsal.render.words import GREY, RESEARCH_ONLY
from napari_smoothsal.viewer.ways import CONTOURS, SPOTLIGHT, TINT, legend_stops

HEIGHT = 14
PAPER = QColor(238, 225, 236)
"""Pale tissue under the colours: at zero the overlay shows what lies below it."""
CLEAR = {
    TINT: "clear: {zero}",
    CONTOURS: "lines at a third, two thirds and all of full colour",
    SPOTLIGHT: "dark: {zero}; light: influence{sign}",
}


class _Gradient(QWidget):
    """A palette over pale tissue, and at its end the veil of what was not computed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stops: tuple[Stop, ...] = ()
        self.setFixedHeight(HEIGHT)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002, N802 - Qt's name
        painter = QPainter(self)
        box = QRectF(self.rect())
        painter.fillRect(box, PAPER)
        veil = QRectF(box.right() - HEIGHT, box.top(), HEIGHT, HEIGHT)
        painter.fillRect(veil, QColor.fromRgbF(*NOT_COMPUTED))
        box.setRight(veil.left() - HEIGHT / 2)
        gradient = QLinearGradient(QPointF(box.left(), 0), QPointF(box.right(), 0))
        for place, colour in self.stops:
            gradient.setColorAt(place, QColor.fromRgbF(*colour))
        painter.fillRect(box, gradient)
        painter.end()


class ColourBar(QWidget):
    """The words that always stand there, and, once there is a map, what its colours mean."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._gradient = _Gradient()
        self._words = QLabel()
        self._words.setTextFormat(Qt.TextFormat.RichText)
        self._words.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        notice = QLabel(f"<i>{RESEARCH_ONLY[:1].upper()}{RESEARCH_ONLY[1:]}.</i>")
        notice.setWordWrap(True)
        for part in (self._gradient, self._words, notice):
            layout.addWidget(part)
        self._gradient.hide()
        self._words.hide()

    @property
    def text(self) -> str:
        """What is written under the colours."""
        return str(self._words.text())

    def show_legend(
        self,
        legend: tuple[str, str],
        palette: str,
        way: str,
        limit: str,
        *more: str,
        zero: str = "no influence",
        grey: str = GREY,
    ) -> None:
        """Say what a map's colours mean.

        Parameters
        ----------
        legend
            Captions of the positive and the negative end; the bar begins at zero where the latter
            is empty.
        palette, way
            Names of its colours, and of how it is shown.
        limit
            What full colour is, in words.
        more
            Further lines.
        zero
            Caption of what is clear or dark.
        grey
            What is said of the veil.
        """
        supports, against = legend
        self._gradient.stops = bar_stops(legend_stops(way, palette), one_sided=not against)
        self._gradient.update()
        sign = ", whichever its sign" if against else ""
        clear = CLEAR.get(way, CLEAR[TINT]).format(zero=zero, sign=sign)
        lines = (f"{clear}; {grey}", limit, *more)
        self._words.setText(
            "<table width='100%'><tr>"
            f"<td>{against or zero}</td><td align='right'>{supports}</td></tr></table>"
            + "<br>".join(lines)
        )
        self._gradient.show()
        self._words.show()
