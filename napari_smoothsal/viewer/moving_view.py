"""MovingView: tells when what is in view has come to rest elsewhere."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

REST_MS = 350
"""So long nothing moves before the view counts as at rest."""
CHANGED_MS = 80
"""So long after a change of settings: choices are made one at a time, numbers digit by digit."""


class MovingView(QObject):
    """Watches camera and canvas of a viewer.

    Signals
    -------
    rested()
        The view was moved, zoomed or resized, or `touch` or `change` was called, and it has been at
        rest since.
    """

    rested = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.rested)
        events = (viewer.scene.camera.events, viewer.canvas.events)
        self._events = (events[0].center, events[0].zoom, events[1].size)
        for event in self._events:
            event.connect(self.touch)

    def touch(self, _event: Any = None) -> None:
        """Something has moved."""
        self._timer.start(REST_MS)

    def change(self, _event: Any = None) -> None:
        """A setting has changed."""
        self._timer.start(CHANGED_MS)

    def disconnect_viewer(self) -> None:
        """Watch no more."""
        self._timer.stop()
        for event in self._events:
            event.disconnect(self.touch)
