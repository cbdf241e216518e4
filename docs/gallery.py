"""Make docs/gallery/: what the docks do, in a real window on the sample slide.

    python docs/gallery.py [NAME ...]

Needs a display; without one, run it under ``xvfb-run -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# What the docks remember of this is nobody's.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
import torch  # noqa: F401  before Qt: on Windows its libraries cannot be loaded afterwards
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from screenshot import SIZE, draw, wait

from napari_smoothsal.slides.sample import sample_slide_path

FOLDER = Path(__file__).with_name("gallery")
CENTRE, WIDTH_UM = (1270.0, 1290.0), 560.0
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


def view(viewer: Any, dock: Any) -> None:
    """A view, explained live; the pointer on the strongest place."""
    click(dock.bar.live)
    wait(lambda: any("(view)" in layer.name for layer in viewer.layers) and not dock.busy)
    click(dock.bar.live)
    layer = next(x for x in viewer.layers if "(view" in x.name)
    values = np.asarray(layer.data)
    place = np.unravel_index(np.nanargmax(values), values.shape)
    viewer.cursor.position = tuple(layer.data_to_world(place))
    dock.pointer.read()


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


def region(viewer: Any, dock: Any) -> None:
    """A drawn ellipse, explained."""
    explain_drawn(viewer, dock, "ellipse", 90, 130)


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


def where_tumour(viewer: Any, dock: Any) -> None:
    """The whole slide predicted, and explained where tumour is likely; the pointer elsewhere."""
    fill_in(dock.form.which.controls["where"].native, "p(tumour) > 0.5")
    whole_slide(viewer, dock)
    viewer.cursor.position = (700.0, 1900.0)
    dock.pointer.read()


def contour_lines(_viewer: Any, dock: Any) -> None:
    """A view as contour lines."""
    by_deeplift(dock)
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    pick(dock.colours.way, "contour lines")


def spotlight(_viewer: Any, dock: Any) -> None:
    """A view under a spotlight."""
    by_deeplift(dock)
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    pick(dock.colours.way, "spotlight")


def model_input(_viewer: Any, dock: Any) -> None:
    """What the model gets of one tile."""
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    dock.bar.show_input.trigger()
    wait(lambda: "model gets" in dock.bar.status)


def bad_input(_viewer: Any, dock: Any) -> None:
    """A value that cannot work: marked, explained, still there."""
    pick(dock.form.controls["denoising"].native, "gaussian blur")
    fill_in(dock.form.controls["samples"].native, "-3")
    click(dock.bar.explain_view)
    draw(0.5)


def nuclei(viewer: Any, dock: Any) -> None:
    """A drawn region, explained to a segmentation model."""
    pick(dock.slides.models.box.native, "demo-segmenter")
    wait(lambda: "encoder.layer2" in dock.form.controls["layer"].choices)
    pick(dock.form.controls["layer"].native, "encoder.layer2")
    fill_in(dock.form.controls["samples"].native, "4")
    viewer.scene.camera.zoom *= 2
    explain_drawn(viewer, dock, "rectangle", 70, 90)


def real_slide(viewer: Any, dock: Any) -> None:
    """A view of a real slide, where there is one."""
    slide = Path(os.environ["SMOOTHSAL_DATA"]) / "slides" / "CMU-1-Small-Region.svs"
    viewer.layers.clear()
    draw(0.5)
    viewer.open(str(slide), plugin="napari-smoothsal")
    viewer.reset_view()
    draw(0.5)
    viewer.scene.camera.zoom *= 2.2
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))


def saved_figure(_viewer: Any, dock: Any) -> None:
    """The figure that is saved of a view: a file, no window."""
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    with tempfile.TemporaryDirectory() as folder:
        dock.save(Path(folder))
        wait(lambda: dock.bar.status.startswith("Saved"))
        (figure,) = Path(folder).glob("*.view.png")
        shutil.copy(figure, FOLDER / "saved_figure.png")


def total_variation(viewer: Any, dock: Any) -> None:
    """Roughness by layer and denoising, of the view."""
    view(viewer, dock)
    other = dock_in_front(viewer, "Total variation")
    click(other.view)
    wait(lambda: not other.busy)


def predictions(viewer: Any, dock: Any) -> None:
    """What is predicted of the view under the forward hook, and the tiles of the slide."""
    whole_slide(viewer, dock)
    pick(dock.form.controls["denoising"].native, "forward hook")
    other = dock_in_front(viewer, "Predictions")
    click(other.next)
    click(other.predict)
    wait(lambda: not other.busy)


def prediction_layer(viewer: Any, dock: Any) -> None:
    """What is predicted, in place of the map."""
    whole_slide(viewer, dock)
    other = dock_in_front(viewer, "Predictions")
    click(other.as_layer)
    draw(0.5)


def stretched(_viewer: Any, dock: Any) -> None:
    """A view whose full colour is of its own largest values."""
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    click(dock.colours.stretched)


def paused(_viewer: Any, dock: Any) -> None:
    """The whole slide, explained in part, waiting to go on."""
    viewer = dock.viewer
    viewer.reset_view()
    click(dock.bar.explain_slide)
    wait(dock.bar.start.isEnabled)
    click(dock.bar.start)
    wait(lambda: any("partial" in layer.name for layer in viewer.layers))
    draw(3.0)
    click(dock.bar.pause)
    wait(lambda: "aused" in dock.bar.status)


def dropped_store(viewer: Any, dock: Any) -> None:
    """A result of another day, opened without its slide's dock."""
    whole_slide(viewer, dock)
    (store,) = Path(dock.slides.folder).glob("*.smoothsal.zarr")
    viewer.layers.clear()
    draw(0.5)
    viewer.open(str(store), plugin="napari-smoothsal")
    viewer.reset_view()
    dock_in_front(viewer, "Predictions")
    draw(2.0)


def other_method(_viewer: Any, dock: Any) -> None:
    """Another method, and what it can be told."""
    pick(dock.form.controls["method"].native, "integrated gradients")
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))


def what_if(viewer: Any, dock: Any) -> None:
    """A nest of tumour removed, by three fills, and revealed alone; the last removal is on show."""
    fill_in(dock.form.controls["samples"].native, "4")
    other = dock_in_front(viewer, "What if")
    wait(lambda: other.fill.count() > 0)
    click(other.draw)
    draw_around(viewer, NEST_UM)
    for fill, press in (
        ("tissue mean", other.reveal),
        ("tissue mean", other.remove),
        ("blurred", other.remove),
        ("inpainted", other.remove),
    ):
        pick(other.fill, fill)
        click(press)
        wait(lambda: not other.busy)
    viewer.layers.selection.active = None


FILES = {"saved_figure"}
"""Scenes whose picture is no screenshot."""
SCENES: dict[str, Callable[[Any, Any], None]] = {
    f.__name__: f
    for f in (
        view,
        contour_lines,
        spotlight,
        model_input,
        region,
        nuclei,
        estimate,
        whole_slide,
        where_tumour,
        total_variation,
        paused,
        stretched,
        other_method,
        predictions,
        prediction_layer,
        dropped_store,
        bad_input,
        real_slide,
        saved_figure,
        what_if,
    )
}


def main() -> None:
    """Each scene in a viewer of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="*", metavar="NAME", choices=[[], *SCENES])
    FOLDER.mkdir(exist_ok=True)
    for name in parser.parse_args().scenes or SCENES:
        with sample_slide_path() as slide, tempfile.TemporaryDirectory() as results:
            viewer = napari.Viewer(title="napari-smoothsal")
            viewer.window.resize(*SIZE)
            draw(0.5)
            viewer.open(str(slide), plugin="napari-smoothsal")
            _, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
            viewer.canvas.overlays.scale_bar.visible = True
            dock.slides._folder.setText(results)
            viewer.scene.camera.center = (0.0, *CENTRE)
            draw(0.5)
            viewer.scene.camera.zoom = viewer.canvas.size[1] / WIDTH_UM
            wait(lambda dock=dock: bool(dock.form.controls["layer"].value))
            # Not those of the scene before.
            dock.slides.model = "demo-classifier"
            wait(lambda dock=dock: "layer2" in dock.form.controls["layer"].choices)
            dock.form.restore({"method": "activation_x_gradient"})
            SCENES[name](viewer, dock)
            dock.slides._folder.setText("")
            draw(1.0)
            if name not in FILES:
                shown = str(FOLDER / f"{name}.png")
                viewer.screenshot(shown, canvas_only=False, flash=False)
            viewer.close()
            draw(0.5)


if __name__ == "__main__":
    main()
