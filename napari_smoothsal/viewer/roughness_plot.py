"""RoughnessPlot: total variation by layer, one line for each denoising."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_smoothsal.viewer.told import Measured, Roughness

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#999999")
"""Okabe and Ito's, for every colour vision."""
SYMBOLS = ("o", "s", "t", "d", "+", "x", "star")
BACKGROUND, INK = "#1c1f26", "#d8dee9"
GREY = "#9aa4b2"
HEIGHT = 220


class RoughnessPlot(QWidget):
    """A plot; lower is smoother."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot = pg.PlotWidget(background=BACKGROUND)
        self._plot.setMinimumHeight(HEIGHT)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setMenuEnabled(False)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(INK)
            axis.setTextPen(INK)
        self._plot.setLabel("left", "total variation", color=INK)
        # Below the plot, not in it: there it would hide what it explains.
        self._legend = QLabel()
        self._legend.setWordWrap(True)
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        layout.addWidget(self._legend)

    def show_measured(self, layers: Sequence[str], found: Measured) -> None:
        """Draw what is measured so far."""
        self._plot.clear()
        legend = []
        places = {layer: place for place, layer in enumerate(layers)}
        self._plot.getAxis("bottom").setTicks([[(p, layer) for layer, p in places.items()]])
        for values, style in (
            (found.noise, Qt.PenStyle.DashLine),
            (found.blurred_noise, Qt.PenStyle.DotLine),
        ):
            pen = pg.mkPen(GREY, width=1, style=style)
            self._plot.plot([places[y] for y in layers], [values[y] for y in layers], pen=pen)
        by_denoising: dict[str, list[Roughness]] = {}
        for row in found.rows:
            by_denoising.setdefault(row.denoising, []).append(row)
        for number, (denoising, rows) in enumerate(by_denoising.items()):
            known = [row for row in rows if row.mean is not None]
            colour = COLOURS[number % len(COLOURS)]
            x, y = [places[row.layer] for row in known], [row.mean for row in known]
            self._plot.plot(
                x,
                y,
                pen=pg.mkPen(colour, width=2),
                symbol=SYMBOLS[number % len(SYMBOLS)],
                symbolSize=7,
                symbolBrush=colour,
                symbolPen=None,
            )
            mark = f'<span style="color:{colour}">&#9632;</span>'
            legend.append(f"{mark}&nbsp;{denoising.replace('_', '&nbsp;')}")
        legend.append("dashed: white noise, dotted: the same blurred by 1 px")
        self._legend.setText(" &nbsp; ".join(legend))
        self._plot.setXRange(-0.3, len(layers) - 0.7)
        top = max([*found.noise.values(), *(row.mean or 0.0 for row in found.rows), 1.0])
        self._plot.setYRange(0, 1.08 * top)
