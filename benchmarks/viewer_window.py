"""A real window of napari on the sample slide, for what is timed in one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gui_thread import Frames, Holds

VIEW_PX = 1024
CENTRE_PX = (2540, 2580)
"""(y, x), level-0 px: tumour beside normal tissue."""
PATIENCE_S = 60


@contextmanager
def slide_path() -> Iterator[Path]:
    from napari_smoothsal.slides.sample import sample_slide_path

    with sample_slide_path() as path:
        yield path


@contextmanager
def window(holds: Holds | None = None) -> Iterator[tuple[Any, Frames]]:
    """A window of napari with a square canvas of the size of the view, at rest."""
    import napari

    viewer = napari.Viewer(title="napari-smoothsal")
    frames = Frames(holds)
    viewer.window.resize(1500, 1200)
    draw(1.0)
    yield viewer, frames
    viewer.close()
    draw(0.2)


def ready(viewer: Any, path: Path) -> Any:
    """The dock, with the slide open and the engine and the model loaded."""
    viewer.open(str(path), plugin="napari-smoothsal")
    _, widget = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
    wait(lambda: bool(widget.form.controls["layer"].value))
    draw(1.0)
    return widget


def look_at_view(viewer: Any) -> None:
    """A canvas that shows `VIEW_PX` squared of level 0, pixel for pixel."""
    for _ in range(3):
        height, width = viewer.canvas.size
        w, h = viewer.window.geometry()[2:]
        viewer.window.resize(w + VIEW_PX - width, h + VIEW_PX - height)
        draw(0.3)
    assert tuple(viewer.canvas.size) == (VIEW_PX, VIEW_PX), "the screen is too small"
    mpp = float(viewer.layers[0].scale[0])
    viewer.scene.camera.center = (0.0, *((p - 0.5) * mpp for p in CENTRE_PX))
    viewer.scene.camera.zoom = 1 / mpp
    draw(1.0)


def shows_tissue(pixels: Any) -> bool:
    """Whether a hundredth of a frame is coloured: neither glass nor napari's own grey."""
    if pixels is None:
        return False
    return bool((np.ptp(pixels.astype(int), axis=2) > 40).mean() > 0.01)


def share_changed(before: Any, after: Any) -> float:
    return float((np.abs(before.astype(int) - after).max(axis=2) > 8).mean())


def draw(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def wait(condition: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the viewer did not get there in time")
        QApplication.processEvents()
        time.sleep(0.001)
