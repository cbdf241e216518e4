"""What if, all by mouse in a real window: drawn, removed, seen, closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from viewer_listening import PATIENCE_MS

pytestmark = pytest.mark.gl

RADIUS_PX = 60
"""Of the screen."""


def draw_circle(viewer: Any) -> QPoint:
    """With the mouse held down; around the middle of the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    angles = np.linspace(0, 2 * np.pi, 25)
    places = [
        middle + QPoint(round(RADIUS_PX * np.cos(a)), round(RADIUS_PX * np.sin(a))) for a in angles
    ]
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(canvas, left, none, places[0])
    for place in places[1:]:
        QTest.mouseMove(canvas, place)
        QApplication.processEvents()
    QTest.mouseRelease(canvas, left, none, places[-1])
    return middle


def picture(viewer: Any, qtbot: Any) -> NDArray[np.int16]:
    qtbot.waitUntil(lambda: all(x.loaded for x in viewer.layers), timeout=PATIENCE_MS)
    for _ in range(10):
        QApplication.processEvents()
    shown = viewer.screenshot(canvas_only=True, flash=False)
    return np.asarray(shown)[..., :3].astype(np.int16)


def test_what_is_drawn_goes_and_nothing_else(
    make_napari_viewer: Callable[..., Any], tiff_slide: Path, model_folder: Path, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 800)
    viewer.open(tiff_slide, plugin="napari-smoothsal")
    add = viewer.window.add_plugin_dock_widget
    saliency = add("napari-smoothsal", "Saliency")[1]
    dock = add("napari-smoothsal", "What if", tabify=True)[1]
    saliency.slides.add_model(str(model_folder))
    qtbot.waitUntil(lambda: bool(saliency.form.controls["layer"].value), timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: dock.fill.count() > 0, timeout=PATIENCE_MS)
    saliency.form.controls["samples"].value = 0
    viewer.scene.camera.zoom *= 2
    qtbot.mouseClick(dock.draw, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: all(x.loaded for x in viewer.layers), timeout=PATIENCE_MS)
    draw_circle(viewer)
    shapes = viewer.layers.selection.active
    assert shapes.nshapes == 1 and shapes.shape_type == ["polygon"]
    qtbot.mouseClick(dock.remove, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.busy, timeout=PATIENCE_MS)
    (trial,) = dock.trials.trials
    replaced, after = trial.layers
    shapes.visible = after.visible = False
    with_hole = picture(viewer, qtbot)
    replaced.visible = False
    changed = np.abs(with_hole - picture(viewer, qtbot)).max(axis=2) > 3
    y, x = np.indices(changed.shape)
    height, width = changed.shape
    distance = np.hypot(y - height / 2, x - width / 2)
    assert changed[distance < 0.9 * RADIUS_PX].mean() > 0.8
    assert not changed[distance > 1.1 * RADIUS_PX].any()
    # What shows there is one colour.
    inside = with_hole[distance < 0.8 * RADIUS_PX]
    assert inside.std(axis=0).max() < 2
    # A second shape is asked about by itself, though the first is still there.
    shapes.visible = True
    dock.maps.setChecked(False)
    viewer.scene.camera.center = (0.0, *(np.array(viewer.scene.camera.center[-2:]) + 30))
    draw_circle(viewer)
    assert shapes.nshapes == 2
    qtbot.mouseClick(dock.remove, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.busy, timeout=PATIENCE_MS)
    one, two = (np.asarray(t.layers[0].data)[..., 3].sum() for t in dock.trials.trials)
    assert two == pytest.approx(one, rel=0.1)
    # Closed: no process is left, and the layers stay.
    engine = dock.session.engine.process_id
    for each in (dock, saliency):
        viewer.window.remove_dock_widget(each)
    assert not psutil.pid_exists(engine) and replaced in viewer.layers
