"""LinkedViews: viewers that look at the same place, whichever of them is moved."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.viewer.field_of_view import look_at


class LinkedViews:
    """Centre and zoom of several viewers."""

    def __init__(self) -> None:
        self._viewers: list[Any] = []
        self._following = False

    def add(self, viewer: Any) -> None:
        """Link a viewer to those that are linked already."""
        if self._viewers:
            _copy(self._viewers[0].scene.camera, viewer.scene.camera)
        self._viewers.append(viewer)
        for event in _moves(viewer):
            event.connect(self._follow)

    def look_at(self, start: Any, end: Any) -> None:
        """Fill the first viewer's canvas with a box, given by two corners in the world."""
        if self._viewers:
            look_at(self._viewers[0], start, end, share=1.0)

    def clear(self) -> None:
        """Link none any more."""
        for viewer in self._viewers:
            for event in _moves(viewer):
                event.disconnect(self._follow)
        self._viewers.clear()

    def _follow(self, event: Any) -> None:
        if self._following:
            return  # it is moved by this
        self._following = True
        try:
            for viewer in self._viewers:
                if viewer.scene.camera is not event.source:
                    _copy(event.source, viewer.scene.camera)
        finally:
            self._following = False


def _moves(viewer: Any) -> tuple[Any, Any]:
    events = viewer.scene.camera.events
    return events.center, events.zoom


def _copy(camera: Any, other: Any) -> None:
    other.center, other.zoom = camera.center, camera.zoom
