"""RunBar: the buttons, the progress bar and the line that says how things stand."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_smoothsal.viewer.messages import Progressed

PROBLEM = "color: #ff922b;"


class RunBar(QWidget):
    """Explain view, Explain slide, Cancel; progress and status."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.explain_view = QPushButton("Explain view")
        self.explain_view.setToolTip(
            "Explain what is in the window now, at the model's own resolution whatever the zoom."
        )
        self.explain_slide = QPushButton("Explain slide")
        self.explain_slide.setToolTip(
            "Explain all tissue of the slide and keep the result; it can be stopped and resumed."
        )
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop after the batch that is being computed.")
        self.cancel.setEnabled(False)
        buttons = QHBoxLayout()
        for button in (self.explain_view, self.explain_slide, self.cancel):
            buttons.addWidget(button)
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(True)
        self.progress_bar.hide()
        self._status = QLabel()
        self._status.setWordWrap(True)
        self._notice = QLabel()
        self._notice.setWordWrap(True)
        font = self._notice.font()
        font.setItalic(True)
        self._notice.setFont(font)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        for part in (self.progress_bar, self._status, self._notice):
            layout.addWidget(part)

    @property
    def status(self) -> str:
        """What the status line says."""
        return str(self._status.text())

    def say(self, text: str) -> None:
        """Say how things stand."""
        self._status.setStyleSheet("")
        self._status.setText(text)

    def notice(self, text: str) -> None:
        """The words that always stand in the dock."""
        self._notice.setText(text[:1].upper() + text[1:] + ".")

    def problem(self, text: str) -> None:
        """Say what went wrong, here and as a notification of napari's."""
        from napari.utils.notifications import show_warning

        self._status.setStyleSheet(PROBLEM)
        self._status.setText(text[:1].upper() + text[1:])
        show_warning(text)

    def begin(self, text: str) -> None:
        """Something is being explained."""
        self.cancel.setEnabled(True)
        self.progress_bar.setRange(0, 0)
        self.progress_bar.setFormat("")
        self.progress_bar.show()
        self.say(text)

    def progress(self, news: Progressed) -> None:
        """It is this far."""
        self.progress_bar.setRange(0, max(1, news.total))
        self.progress_bar.setValue(news.done)
        self.progress_bar.setFormat(f"{news.done} of {news.total} tiles")
        if news.seconds_left is None:
            self.say(f"{news.total} tiles to explain ...")
        else:
            failed = f", {news.failed} failed" if news.failed else ""
            left = _time_in_words(news.seconds_left)
            self.say(f"{news.tiles_per_s:.1f} tiles per second, {left} left{failed}")

    def end(self, text: str) -> None:
        """Nothing is being explained any more."""
        self.cancel.setEnabled(False)
        self.progress_bar.hide()
        self.say(text)


def _time_in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
