"""RunBar: the buttons, the progress bar and the line that says how things stand."""

from __future__ import annotations

import time

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.viewer.controls import restyle
from napari_smoothsal.viewer.told import Estimated, Progressed

PROBLEM = "color: #ff922b;"
TICK_MS, SOON_S = 1000, 2
"""Beyond so many seconds it is said how long something without a known end has taken so far."""


class RunBar(QWidget):
    """The actions; progress and status.

    Buttons: ``explain_view``, ``live`` (stays down), ``explain_region``, ``explain_slide``,
    ``start`` (of what was estimated), ``pause`` (stays down), ``cancel``; in a menu
    ``save``, ``show_input``, ``copy_python``, ``copy_command`` and ``reset``.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._said, self._since = "", 0.0
        self._clock = QTimer(self)
        self._clock.setInterval(TICK_MS)
        self._clock.timeout.connect(self._tell_time)
        self.explain_view = _button(
            "Explain view",
            "Explain what is in the window now, at the model's own resolution whatever the zoom.",
        )
        self.live = _button(
            "Live",
            "Explain the view again by itself whenever it, or a setting, has changed.",
            stays=True,
        )
        self.explain_region = _button(
            "Explain region",
            "Explain what is drawn in a Shapes layer and keep the result: the chosen shapes, or "
            "all of them.",
        )
        self.explain_slide = _button(
            "Explain slide",
            "Explain all tissue of the slide and keep the result; it can be stopped and resumed.",
        )
        self.start = _button("Start", "Start with what is outlined on the slide.")
        self.pause = _button(
            "Pause",
            "Stop, and go on later: what is written is kept, and other docks can compute.",
            stays=True,
        )
        self.cancel = _button("Cancel", "Stop; what is written of a slide can be resumed.")
        more = QToolButton()
        more.setText("More")
        more.setToolTip(
            "Save the map, see what the model sees, copy the settings as Python or as a command."
        )
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(more)
        self.copy_python = QAction("Copy as Python", menu)
        self.copy_command = QAction("Copy as command", menu)
        self.reset = QAction("Reset the settings", menu)
        self.show_input = QAction("Show the model's input", menu)
        self.save = QAction("Save the map on show ...", menu)
        self.save.setEnabled(False)
        menu.addActions([self.save, self.show_input])
        menu.addSeparator()
        menu.addActions([self.copy_python, self.copy_command, self.reset])
        more.setMenu(menu)
        self.pause.toggled.connect(self._name_pause)
        self._idle()
        buttons = QGridLayout()
        for row, parts in enumerate(
            (
                (self.explain_view, self.live, more),
                (self.explain_region, self.explain_slide),
                (self.start, self.pause, self.cancel),
            )
        ):
            line = QHBoxLayout()
            for button in parts:
                line.addWidget(button)
            buttons.addLayout(line, row, 0)
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(True)
        self.progress_bar.hide()
        self._status = QLabel()
        self._status.setWordWrap(True)
        # Files of others are quoted in it.
        self._status.setTextFormat(Qt.TextFormat.PlainText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        for part in (self.progress_bar, self._status):
            layout.addWidget(part)

    @property
    def status(self) -> str:
        """What the status line says."""
        return str(self._status.text())

    def say(self, text: str) -> None:
        """Say how things stand."""
        restyle(self._status, "")
        self._status.setText(text)
        self._said = text

    def problem(self, text: str, *, aloud: bool = True) -> None:
        """Say what went wrong, here and, aloud, as a notification of napari's."""
        from napari.utils.notifications import show_warning

        restyle(self._status, PROBLEM)
        self._status.setText(sentence(text))
        if aloud:
            show_warning(text)

    def begin(self, text: str) -> None:
        """Something is being explained."""
        self._idle()
        self.cancel.setEnabled(True)
        self.progress_bar.setRange(0, 0)
        self.progress_bar.setFormat("")
        self.progress_bar.show()
        self.say(text)
        self._since = time.monotonic()
        self._clock.start()

    def ask(self, found: Estimated) -> None:
        """Say what it will take, and wait for Start."""
        self._clock.stop()
        self.progress_bar.hide()
        assert found.seconds is not None, "there are tiles"
        self.say(estimate_in_words(found))
        self.start.setEnabled(True)
        self.start.setDefault(True)

    def progress(self, news: Progressed, *, kept: bool) -> None:
        """It is this far; what is kept can be paused."""
        self._clock.stop()
        self.pause.setEnabled(kept)
        bar = self.progress_bar
        bar.show()
        # Qt paints a bar within `setValue`, and all of the window with it, canvas included; so it
        # is painted with the next frame.
        bar.setUpdatesEnabled(False)
        bar.setRange(0, max(1, news.total))
        bar.setValue(news.done)
        bar.setFormat(f"{news.stage} {news.done} of {news.total} tiles")
        bar.setUpdatesEnabled(True)
        if news.seconds_left is None:
            todo = "predict" if news.stage == "predicting" else "explain"
            self.say(f"{news.total} tiles to {todo} ...")
        else:
            failed = f", {news.failed} failed" if news.failed else ""
            left = time_in_words(news.seconds_left)
            stage = news.stage.capitalize()
            self.say(f"{stage}: {_speed_in_words(news.tiles_per_s)}, {left} left{failed}")

    def end(self, text: str) -> None:
        """Nothing is being explained any more."""
        self._idle()
        self.progress_bar.hide()
        self.say(text)

    def _idle(self) -> None:
        self._clock.stop()
        for button in (self.start, self.pause, self.cancel):
            button.setEnabled(False)
        # It is taken back, not gone on with.
        self.pause.blockSignals(True)
        self.pause.setChecked(False)
        self.pause.blockSignals(False)
        self.pause.setText("Pause")

    def _tell_time(self) -> None:
        passed = time.monotonic() - self._since
        if passed >= SOON_S:
            self._status.setText(f"{self._said} {time_in_words(passed)}")

    def _name_pause(self, down: bool) -> None:
        self.pause.setText("Resume" if down else "Pause")
        self.say("Pausing ..." if down else "Going on ...")


def estimate_in_words(found: Estimated) -> str:
    """What a run will take: tiles, time, memory, disk."""
    assert found.seconds is not None, "there are tiles"
    tiles, seconds = _tiles(found.tiles), _short_time_in_words(found.seconds)
    if found.prediction_seconds is None:
        takes = f"{tiles}, about {seconds} of computing"
    else:
        predicting = _short_time_in_words(found.prediction_seconds)
        takes = (
            f"{tiles}, about {predicting} of computing to predict them; then maps of at most "
            f"{_tiles(found.explained)}, at most about {seconds}"
        )
    disk, memory = _size_in_words(found.bytes), _size_in_words(found.memory_bytes)
    return f"{takes}; at most {disk} on disk and {memory} of memory. Start?"


def _tiles(count: int) -> str:
    return "1 tile" if count == 1 else f"{count} tiles"


def sentence(text: str) -> str:
    """With a capital letter, unless it begins with the name of a file or a setting."""
    first = text.partition(" ")[0].rstrip(":")
    return text if set("._=") & set(first) else text[:1].upper() + text[1:]


def _button(text: str, tooltip: str, *, stays: bool = False) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setCheckable(stays)
    return button


def _size_in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def _speed_in_words(tiles_per_s: float) -> str:
    if tiles_per_s >= 1:
        return f"{tiles_per_s:.1f} tiles per second"
    return f"{time_in_words(1 / tiles_per_s)} per tile"


def _short_time_in_words(seconds: float) -> str:
    """To two figures, where it is short."""
    return f"{seconds:.2g} s" if seconds < 10 else time_in_words(seconds)


def time_in_words(seconds: float) -> str:
    """As one says it: seconds, minutes, hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
