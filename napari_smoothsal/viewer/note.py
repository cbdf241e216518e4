"""Note: a line or two below a control, there only while there is something to say."""

from __future__ import annotations

from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QWidget


class Note(QLabel):
    """Words that wrap, and are never cut where a dock is short of room: it scrolls then."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.hide()

    def tell(self, text: str) -> None:
        """Say something; nothing, where it is empty."""
        self.setText(text)
        self._keep_height()
        self.setVisible(bool(text))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(event)
        self._keep_height()

    def _keep_height(self) -> None:
        # A layout takes a wrapped label's height for a wish, and gives less where it must.
        self.setMinimumHeight(self.heightForWidth(self.width()) if self.text() else 0)
