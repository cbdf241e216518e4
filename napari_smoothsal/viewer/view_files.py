"""File > Open of a shared view: it adds no layer, and brings the open slide to its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_smoothsal.core.errors import AnnotationError

Reader = Callable[[Any], list[tuple[None]]]


def get_view_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for one ``*.smoothsal-view.json``."""
    paths = [path] if isinstance(path, str | Path) else path
    return read_view if len(paths) == 1 and Path(paths[0]).is_file() else None


def read_view(path: str | Sequence[str]) -> list[tuple[None]]:
    """Bring the current viewer to a view.

    Raises
    ------
    AnnotationError
        If it is no view, no slide is open, or another one.
    """
    import napari
    from napari.utils.notifications import show_info

    from napari_smoothsal.runs.shared_view import read_shared_view
    from napari_smoothsal.viewer.session import open_session_of
    from napari_smoothsal.viewer.shared_view_dock import outcome_in_words
    from napari_smoothsal.viewer.view_sharing import bring_to

    file = Path(path if isinstance(path, str | Path) else path[0])
    view = read_shared_view(file)
    viewer = napari.current_viewer()
    if viewer is None:
        raise AnnotationError(f"{file.name}: no viewer is open; open the slide first")
    session = open_session_of(viewer)
    opened = bring_to(viewer, view, None if session is None else session.choice)
    show_info(outcome_in_words(opened))
    return [(None,)]
