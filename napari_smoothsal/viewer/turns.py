"""Turns: work done piece by piece, so that no piece holds the window for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

Step = Callable[[], None]


class Turns(QObject):
    """Takes one step after another, each in a turn of its own of Qt's event loop.

    What is to be drawn, and what the user does, comes in between.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._steps: deque[Step] = deque()
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._take)

    def add(self, step: Step) -> None:
        """Take a step after those that wait."""
        self._steps.append(step)
        self._timer.start()

    def finish(self) -> None:
        """Take all that wait now."""
        while self._steps:
            self._take()

    def clear(self) -> None:
        """Take none of those that wait."""
        self._steps.clear()

    def _take(self) -> None:
        if self._steps:
            self._steps.popleft()()
        if not self._steps:
            self._timer.stop()
