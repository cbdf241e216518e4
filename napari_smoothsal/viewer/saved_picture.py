"""A part of a dock as a picture, with what must stand beneath it wherever it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QPainter, QPixmap
from qtpy.QtWidgets import QWidget

from napari_smoothsal.render.words import RESEARCH_ONLY

MARGIN = 8
WRAPPED = Qt.TextFlag.TextWordWrap.value


def save_picture(widget: QWidget, path: Path, lines: Sequence[str] = ()) -> None:
    """Write what a widget shows as PNG.

    Parameters
    ----------
    widget, path
        What, and where to.
    lines
        Written below it; the last line is always that this is for research only.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    shown = widget.grab()
    text = "\n".join((*lines, RESEARCH_ONLY))
    ratio = shown.devicePixelRatio()
    width, height = round(shown.width() / ratio), round(shown.height() / ratio)
    within = QRect(MARGIN, 0, width - 2 * MARGIN, 10_000)
    words = widget.fontMetrics().boundingRect(within, WRAPPED, text)
    below = words.height() + 2 * MARGIN
    picture = QPixmap(shown.width(), shown.height() + round(below * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(widget.palette().window().color())
    painter = QPainter(picture)
    painter.drawPixmap(0, 0, shown)
    painter.setFont(widget.font())
    painter.setPen(widget.palette().windowText().color())
    painter.drawText(words.translated(0, height + MARGIN), WRAPPED, text)
    painter.end()
    if not picture.save(str(path), "PNG"):
        raise OSError(f"{path.name} could not be written")
