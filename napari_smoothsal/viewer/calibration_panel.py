"""CalibrationPanel: the limits of the map on show, and those that the user measured."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.kept_calibrations import (
    KeptCalibration,
    calibrations_folder,
    forget_calibration,
    kept_calibrations,
)
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.slide_source import METADATA

RATES = (0.05, 0.1, 0.2)
SOON_MS = 200
MOST_ROWS = 4
NO_MAP = "Explain the view: what its map's limits are is said here."
NO_LIMITS = (
    "The map on show has no limits: normal tissue may look alike. Draw a region of normal tissue "
    "in a Shapes layer, and calibrate on it."
)


class CalibrationPanel(QWidget):
    """What the calibrated scale rests on.

    Parameters
    ----------
    viewer
        Whose maps.

    Signals
    -------
    changed()
        A calibration was removed.
    refused(str)
        One could not be, and why.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._kept: list[KeptCalibration] = []
        self.about = QLabel(NO_MAP)
        self.about.setWordWrap(True)
        self.calibrate = QPushButton("Calibrate on this region of normal tissue")
        self.calibrate.setToolTip(
            "Measure how strong maps with these settings are in what is drawn in a Shapes layer, "
            "and in random copies of the model. Nothing of the class may occur there."
        )
        self.rate = QComboBox()
        for rate in RATES:
            self.rate.addItem(f"error rate {100 * rate:g} %", rate)
        self.rate.setToolTip(
            "Share of normal tiles that may show anything. 5 % need 19 tiles, 10 % need 9."
        )
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip(
            "Take the chosen calibration out of its file: the model's own limits hold again."
        )
        self.place = QLabel()
        self.place.setWordWrap(True)
        self.place.setTextFormat(Qt.TextFormat.PlainText)
        self.place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons, beneath = QHBoxLayout(), QHBoxLayout()
        buttons.addWidget(self.calibrate, 1)
        buttons.addWidget(self.rate)
        beneath.addWidget(self.place, 1)
        beneath.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("<b>Calibrated scale</b>"))
        layout.addWidget(self.about)
        layout.addLayout(buttons)
        layout.addWidget(self.list)
        layout.addLayout(beneath)
        self.list.currentRowChanged.connect(lambda row: self.remove.setEnabled(row >= 0))
        self.remove.clicked.connect(self._remove)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.look)
        self.list_kept()
        self.look()

    @property
    def error_rate(self) -> float:
        """That is chosen."""
        return float(self.rate.currentData())

    @property
    def kept(self) -> list[KeptCalibration]:
        """What is listed."""
        return self._kept

    def look_soon(self, _event: Any = None) -> None:
        """The map on show may be another one."""
        self._timer.start(SOON_MS)

    def look(self) -> None:
        """Say what the limits of the map on show are."""
        layer = self._map_on_show()
        if layer is None:
            self.about.setText(NO_MAP)
            return
        own = layer.metadata[METADATA]
        limits: Calibration | None = own.get("calibration")
        self.about.setText(NO_LIMITS if limits is None else _said(limits, own))

    def list_kept(self) -> None:
        """List what is kept."""
        self._kept = kept_calibrations()
        self.list.clear()
        for one in self._kept:
            found = one.calibration
            settings = " | ".join(str(found.spec[k]) for k in ("layer", "method", "denoising"))
            tissue = f", {found.tissue}" if found.tissue else ""
            item = QListWidgetItem(
                f"{one.model} | {settings} | {found.target}: error rate "
                f"{100 * found.error_rate:g} %, {found.tiles} tiles{tissue}"
            )
            item.setToolTip(str(one.path))
            self.list.addItem(item)
        shown = bool(self._kept)
        for part in (self.list, self.remove):
            part.setVisible(shown)
        rows = min(MOST_ROWS, len(self._kept))
        self.list.setFixedHeight(8 + 36 * rows)
        where = f"in {_from_home(calibrations_folder())}"
        self.place.setText(f"Kept {where}" if shown else f"What you measure is kept {where}")
        self.remove.setEnabled(False)

    def _remove(self) -> None:
        row = self.list.currentRow()
        if not 0 <= row < len(self._kept):
            return
        try:
            forget_calibration(self._kept[row])
        except SmoothsalError as error:
            self.refused.emit(str(error))
            self.list_kept()
            return
        self.list_kept()
        self.changed.emit()

    def _map_on_show(self) -> Any:
        active = self._viewer.layers.selection.active
        if active is not None and is_map(active):
            return active
        maps = [layer for layer in reversed(self._viewer.layers) if is_map(layer)]
        return next((layer for layer in maps if layer.visible), maps[0] if maps else None)


def _from_home(folder: Path) -> str:
    """As one says it of one's own folders."""
    home = Path.home()
    return str(Path("~") / folder.relative_to(home)) if folder.is_relative_to(home) else str(folder)


def _said(limits: Calibration, own: dict[str, Any]) -> str:
    words = limits.in_words.partition(": ")[2]
    stale = " <b>Of earlier settings: explain again.</b>" if own.get("stale") else ""
    if not limits.useful:
        words = (
            "its limits leave too little to see, and are not used: above them "
            f"{100 * (limits.shown or 0):.0f} % of tiles of {limits.target} show something"
        )
    return (
        f"<b>Error rate {100 * limits.error_rate:g} %</b>, measured on {limits.tiles} normal tiles "
        f"and {limits.copies} random copies ({escape(own['title'])}). "
        f"{escape(words[:1].upper() + words[1:])}.{stale}"
    )
