"""ReadingPanel: total variation and class probabilities of what was explained last."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_smoothsal.core.checks import LEAST_PROBABILITY, UNSURE
from napari_smoothsal.viewer.told import Reading

WHITE_NOISE = 2.8
"""Total variation of white noise (2.83 on a large map): the upper end of what noise can give."""


class ReadingPanel(QWidget):
    """A few lines of text; numbers can be selected and copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = QLabel("Nothing explained yet.")
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.RichText)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label)

    @property
    def text(self) -> str:
        """What is shown."""
        return str(self._label.text())

    def show_reading(
        self, what: str, reading: Reading, colours: Mapping[str, str] | None = None
    ) -> None:
        """Show the means over the tiles of a view or slide.

        Parameters
        ----------
        what, reading
            What was explained, and the means.
        colours
            ``#rrggbb`` of the classes that are outlined, by name.
        """
        self._label.setText("<br>".join(_lines(what, reading, colours or {})))


def _lines(what: str, reading: Reading, colours: Mapping[str, str]) -> list[str]:
    if not reading.tiles and reading.failed and not reading.looked_at:
        return [f"<b>{what}</b>: {_tiles(reading.failed)}, none could be read or computed."]
    if not reading.tiles and not reading.looked_at:
        return [f"<b>{what}</b>: no tile with enough tissue; nothing was computed."]
    lines = [f"<b>{what}</b>: {_tiles(reading.tiles)}"]
    if reading.left_out:
        lines = [
            f"<b>{what}</b>: {_tiles(reading.tiles)} explained ({escape(reading.choice)}), "
            f"{reading.left_out:,} predicted only: dotted."
        ]
    if reading.failed:
        lines.append(f"<b>{_tiles(reading.failed)} could not be read or computed.</b>")
    if reading.empty:
        lines.append(
            f"In {reading.empty} of them no pixel is predicted as {reading.target}: the map is "
            "zero there."
        )
    if reading.weak:
        lines.append(
            f"<b>{_tiles(reading.weak)} {UNSURE}</b> (below {LEAST_PROBABILITY:g}): a map of a "
            "decision that is hardly one."
        )
    if reading.otherwise:
        lines.append(
            f"<b>{_tiles(reading.otherwise)}</b> predicted as another class than the explained "
            f"{reading.target}: hatched."
        )
    if reading.total_variation is not None:
        lines.append(
            f"Total variation <b>{reading.total_variation:.2f}</b> "
            f"(white noise: {WHITE_NOISE}; less is smoother)"
        )
    if reading.standard_error is not None:
        samples = f"{reading.samples:.0f} {reading.counted}"
        lines.append(f"Error from {samples}: {100 * reading.standard_error:.0f} %")
    if reading.displaced_um:
        fine = reading.fine_displaced_um
        also = f", its fine structure up to {fine:.1f} \u00b5m" if fine else ""
        lines.append(
            f"The map's coarse structure lies up to {reading.displaced_um:.1f} \u00b5m beside what "
            f"it shows{also}; centred hook moves nothing."
        )
    lines.append("Mean probability of a tile, and tiles predicted:")
    of = reading.looked_at or reading.tiles
    for name, mean in reading.probabilities.items():
        count = reading.predicted.get(name, 0)
        mark = f'<span style="color:{colours[name]}">&#9632;</span> ' if name in colours else ""
        lines.append(f"&nbsp;&nbsp;{mark}{name} <b>{mean:.2f}</b>, {count} of {of}")
    for name, count in reading.predicted.items():
        if name not in reading.probabilities:
            lines.append(f"&nbsp;&nbsp;{name}: {count} of {of}")
    return lines


def _tiles(count: int) -> str:
    return "1 tile" if count == 1 else f"{count} tiles"
