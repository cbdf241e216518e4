"""LeavingDock: what every dock does when it is closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_smoothsal.viewer.session import session_of

if TYPE_CHECKING:
    import napari


SCROLL_BAR_PX = 16


class _VerticalScrollArea(QScrollArea):
    """As wide as its content needs, whatever appears in it later."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            content = self.widget()
            if content is not None:
                self.setMinimumWidth(content.minimumSizeHint().width() + SCROLL_BAR_PX)
        return bool(super().eventFilter(watched, event))


class LeavingDock(QWidget):
    """Uses the viewer's session until it is closed, and then hears of nothing any more.

    Parameters
    ----------
    viewer
        The viewer it belongs to.

    Attributes
    ----------
    viewer, session
        The viewer, and what its docks share.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        self._docked = False
        self._at_end = contextlib.ExitStack()
        super().__init__(parent)
        self.viewer = viewer
        self.session = session_of(viewer)
        self.session.enter()
        self._at_end.callback(self.session.leave)
        steps = self._at_end

        def end(*_: object) -> None:
            # Of the dock or the application, whichever is first: a stack unwinds once. All of it:
            # where a step fails the others are still taken.
            steps.close()

        self._end = end
        self.destroyed.connect(end)
        application = QCoreApplication.instance()
        assert application is not None
        self.hear(application.aboutToQuit, end)

    def event(self, event: QEvent | None) -> bool:
        """End with the dock's frame: napari takes its content out and may keep it alive."""
        handled = bool(super().event(event))
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._end()
        return handled

    def put_into_a_scroll_area(self, content: QWidget) -> None:
        """Put everything into an area that scrolls: a low window shows a part of it."""
        area = _VerticalScrollArea()
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)

    def at_end(self, step: Callable[[], None]) -> None:
        """Do something when it is closed; what was asked for last comes first."""
        self._at_end.callback(step)

    def hear(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect a signal of what outlives the dock, for as long as it is open."""
        signal.connect(slot)

        def deaf() -> None:
            # Qt may have been first, which PySide tells in its own way.
            with contextlib.suppress(TypeError, RuntimeError, SystemError):
                signal.disconnect(slot)

        self.at_end(deaf)
