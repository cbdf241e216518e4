"""TrustCurves: insertion and deletion of the maps of a view, against random orders."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_smoothsal.viewer.roughness_plot import BACKGROUND, COLOURS, GREY, INK
from napari_smoothsal.viewer.told_trust import DrawnCurve, TrustTold

BLUE = COLOURS[1]
HEIGHT, LEAST_WIDTH = 210, 190
LEFT, RIGHT, TOP, BELOW = 48, 10, 24, 38
"""Room for the axes' words, in px."""
TICKS = (0.0, 0.5, 1.0)
WORDS = {
    "deletion": "share taken away",
    "insertion": "share put back",
}
LONGEST = 18


class CurvePlot(QWidget):
    """One of the two: probability of the class over the share of the tile.

    Parameters
    ----------
    which
        "deletion" or "insertion".
    """

    def __init__(self, which: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._which, self._target = which, ""
        self._curve: DrawnCurve | None = None
        self.setMinimumSize(LEAST_WIDTH, HEIGHT)

    @property
    def shown(self) -> DrawnCurve | None:
        """What is drawn."""
        return self._curve

    def show_curve(self, curve: DrawnCurve | None, target: str) -> None:
        """Draw what is known so far."""
        self._curve, self._target = curve, target
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002, N802 - Qt's name
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(BACKGROUND))
        box = QRectF(LEFT, TOP, self.width() - LEFT - RIGHT, max(1, self.height() - TOP - BELOW))
        self._draw_axes(painter, box)
        if self._curve is not None:
            self._draw_curve(painter, box, self._curve)
        painter.end()

    def _draw_axes(self, painter: QPainter, box: QRectF) -> None:
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        for tick in TICKS:
            y, x = box.bottom() - tick * box.height(), box.left() + tick * box.width()
            painter.setPen(QPen(QColor(GREY), 0.5, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(QColor(INK))
            beside = QRectF(box.left() - 26, y - 7, 22, 14)
            painter.drawText(beside, Qt.AlignmentFlag.AlignRight.value, f"{tick:g}")
            below = QRectF(x - 15, box.bottom() + 3, 30, 14)
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter.value, f"{tick:g}")
        painter.setPen(QPen(QColor(INK), 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        painter.drawLine(box.bottomLeft(), box.topLeft())
        middle = Qt.AlignmentFlag.AlignCenter.value
        words = QRectF(0, box.bottom() + 18, self.width(), 16)
        painter.drawText(words, middle, WORDS[self._which])
        painter.save()
        painter.translate(9, box.center().y())
        painter.rotate(-90)
        painter.drawText(QRectF(-box.height(), -8, 2 * box.height(), 16), middle, self._beside())
        painter.restore()
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(QRectF(box.left(), 3, box.width(), 18), middle, self._which.capitalize())

    def _beside(self) -> str:
        name = self._target
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\u2026"
        return f"probability of {short}" if name else "probability"

    def _draw_curve(self, painter: QPainter, box: QRectF, curve: DrawnCurve) -> None:
        if curve.low:
            band = _points(box, curve.low) + _points(box, curve.high)[::-1]
            colour = QColor(GREY)
            colour.setAlphaF(0.4)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawPolygon(QPolygonF(band))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        if len(curve.tiles) > 1:
            painter.setPen(QPen(QColor(BLUE), 1, Qt.PenStyle.DashLine))
            for one in curve.tiles:
                painter.drawPolyline(QPolygonF(_points(box, one)))
        painter.setPen(QPen(QColor(BLUE), 2.5))
        painter.drawPolyline(QPolygonF(_points(box, curve.mean)))


class TrustCurves(QWidget):
    """Both plots, and what their lines are."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plots = {which: CurvePlot(which) for which in WORDS}
        self._legend = QLabel()
        self._legend.setWordWrap(True)
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        plots = QHBoxLayout()
        plots.setSpacing(4)
        for plot in self.plots.values():
            plots.addWidget(plot)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(plots)
        layout.addWidget(self._legend)

    @property
    def legend(self) -> str:
        """What the lines are."""
        return str(self._legend.text())

    def show_told(self, told: TrustTold) -> None:
        """Draw what is known so far."""
        for which, plot in self.plots.items():
            plot.show_curve(getattr(told, which), told.target)
        curve = told.deletion
        if curve is None:
            self._legend.setText("")
            return
        blue = f'<span style="color:{BLUE}">&#9632;</span>&nbsp;'
        grey = f'<span style="color:{GREY}">&#9632;</span>&nbsp;'
        tiles = len(curve.tiles)
        mean = "by the map" if tiles == 1 else f"by the maps, mean of {tiles} tiles (dashed: each)"
        random = f"in {told.orders} random orders" if curve.low else "random orders follow"
        if curve.low and tiles > 1:
            random += ", mean of the same tiles"
        self._legend.setText(
            f"{blue}most important first, {mean} &nbsp; {grey}{random}. Good: deletion below the "
            "grey, insertion above."
        )


def _points(box: QRectF, values: Sequence[float]) -> list[QPointF]:
    last = max(1, len(values) - 1)
    return [
        QPointF(
            box.left() + k / last * box.width(),
            box.bottom() - min(1.0, max(0.0, value)) * box.height(),
        )
        for k, value in enumerate(values)
    ]
