"""What the scenes of the gallery do in a window, as users do, and where on the sample slide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from screenshot import draw, wait

FOLDER = Path(__file__).with_name("gallery")
CENTRE, WIDTH_UM = (1270.0, 1290.0), 560.0
NORMAL, NORMAL_UM = (1285.0, 560.0), (640.0, 690.0)
NEST_UM = tuple(
    (1270 + 60 * math.sin(t / 12 * 2 * math.pi), 1290 + 80 * math.cos(t / 12 * 2 * math.pi))
    for t in range(13)
)
"""A line around tumour, (y, x)."""


def click(button: Any) -> None:
    """With the mouse."""
    left = QPoint(8, button.height() // 2)  # a check box listens only where it is drawn
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, left)


def pick(box: Any, text: str) -> None:
    """Choose from a list by its name, as typed."""
    box.setFocus()
    QTest.keyClicks(box, text)
    draw(0.2)
    if not box.currentText().startswith(text):
        raise RuntimeError(f"{text!r} could not be chosen; the list is at {box.currentText()!r}")


def fill_in(field: Any, text: str) -> None:
    """Type into a field, over what stands there."""
    QTest.mouseClick(field, Qt.MouseButton.LeftButton)
    field.selectAll()
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


def dock_in_front(viewer: Any, name: str) -> Any:
    """Open another dock, in front of those that are there."""
    frame, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", name, tabify=True)
    frame.raise_()
    draw(0.5)
    return dock


def explain_drawn(viewer: Any, dock: Any, shape: str, height: float, width: float) -> None:
    """Draw a shape of twice these micrometres, and explain what lies in it."""
    y, x = CENTRE
    corners = [(-height, -width), (-height, width), (height, width), (height, -width)]
    viewer.add_shapes(
        [np.add(corners, (y, x))],
        shape_type=shape,
        edge_width=height / 25,
        edge_color="#00e5ff",
        face_color="transparent",
        units=("um", "um"),
        name="what I ask about",
    )
    click(dock.bar.explain_region)
    wait(dock.bar.start.isEnabled)
    click(dock.bar.start)
    wait(lambda: dock.bar.status.startswith("Done"))


def draw_around(viewer: Any, corners: Sequence[tuple[float, float]]) -> None:
    """Draw a line through places (y, x) in um, with the mouse held down all the way."""
    canvas = viewer.window._qt_viewer.canvas
    height, width = viewer.canvas.size
    zoom, (y, x) = viewer.scene.camera.zoom, viewer.scene.camera.center[-2:]
    places = [
        QPoint(round(width / 2 + (cx - x) * zoom), round(height / 2 + (cy - y) * zoom))
        for cy, cx in corners
    ]
    none, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    QTest.mousePress(canvas.native, left, none, places[0])
    for place in places[1:]:
        QTest.mouseMove(canvas.native, place)
        draw(0.05)
    QTest.mouseRelease(canvas.native, left, none, places[-1])
    draw(0.3)


def by_deeplift(dock: Any) -> None:
    """Of the model's calibrated limits, those of this method leave most to be seen."""
    pick(dock.form.controls["method"].native, "deeplift")


def estimate(viewer: Any, dock: Any) -> None:
    """What the whole slide would take."""
    viewer.reset_view()
    click(dock.bar.explain_slide)
    wait(dock.bar.start.isEnabled)


def whole_slide(viewer: Any, dock: Any) -> None:
    """The whole slide, explained."""
    by_deeplift(dock)
    fill_in(dock.form.controls["samples"].native, "4")
    estimate(viewer, dock)
    click(dock.bar.start)
    wait(lambda: dock.bar.status.startswith("Done"))
    draw(0.5)


def grab(window: Any, name: str) -> None:
    """The picture of another window."""
    window.grab().save(str(FOLDER / f"{name}.png"))
