"""Make docs/gallery/: what the docks do, in a real window on the sample slide.

    python docs/gallery.py [NAME ...]

Needs a display; without one, run it under ``xvfb-run -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What the docks remember of this is nobody's.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
os.environ["HOME"] = tempfile.mkdtemp()

import napari
import numpy as np
import shapely
import torch  # noqa: F401  before Qt: on Windows its libraries cannot be loaded afterwards
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from screenshot import SIZE, draw, wait

from napari_smoothsal.slides.sample import sample_slide_path

FOLDER = Path(__file__).with_name("gallery")
CENTRE, WIDTH_UM = (1270.0, 1290.0), 560.0
NORMAL, NORMAL_UM = (1285.0, 560.0), (640.0, 690.0)


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


def compared(viewer: Any, dock: Any) -> None:
    """A view in three ways beside each other: a window of its own."""
    other = compare_view(viewer, dock, "original", "backward_hook", "centred_hook")
    grab(other.window_of_columns, "compared")


def compare_dock(viewer: Any, dock: Any) -> None:
    """The dock with what it measured of three layers."""
    fill_in(dock.form.controls["samples"].native, "4")
    other = dock_in_front(viewer, "Compare")
    pick(other.form.varied, "layer")
    compare_by(other, "layer1", "layer2", "layer3")
    grab(other.window_of_columns, "compared_layers")


def compare_view(viewer: Any, dock: Any, *values: str) -> Any:
    """The Compare dock in front, with some denoisings compared."""
    fill_in(dock.form.controls["samples"].native, "4")
    other = dock_in_front(viewer, "Compare")
    compare_by(other, *values)
    return other


def compare_by(dock: Any, *values: str) -> None:
    """Check values and nothing else, click, and wait."""
    dock.form.check(*values)
    click(dock.compare)
    wait(lambda: not dock.busy)
    draw(2.0)


def grab(window: Any, name: str) -> None:
    """The picture of another window."""
    window.grab().save(str(FOLDER / f"{name}.png"))


def prediction_layer(viewer: Any, dock: Any) -> None:
    """What is predicted, in place of the map."""
    whole_slide(viewer, dock)
    other = dock_in_front(viewer, "Predictions")
    click(other.as_layer)
    draw(0.5)


def trust(viewer: Any, dock: Any) -> None:
    """The trust card of a view, beside its map."""
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    other = dock_in_front(viewer, "Trust")
    click(other.test)
    wait(lambda: not other.busy)
    draw(1.0)


def own_limits(viewer: Any, dock: Any) -> None:
    """A view under limits that were measured on a drawn region of normal tissue."""
    viewer.scene.camera.center = (0.0, 1150.0, 880.0)
    viewer.scene.camera.zoom = viewer.canvas.size[1] / 1650
    fill_in(dock.form.controls["samples"].native, "4")
    down, right = np.divide(NORMAL_UM, 2)
    corners = np.array([(-down, -right), (-down, right), (down, right), (down, -right)])
    viewer.add_shapes(
        [corners + NORMAL],
        shape_type="polygon",
        edge_width=10,
        edge_color="#00e5ff",
        face_color="transparent",
        units=("um", "um"),
        name="normal tissue",
    )
    other = dock_in_front(viewer, "Trust")
    click(other.limits.calibrate)
    wait(lambda: not other.busy)
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    draw(1.0)


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


def annotations(viewer: Any, dock: Any) -> None:
    """Annotations of QuPath on the slide, with holes and classes, over a map."""
    from napari_smoothsal.annotations import Annotation, Annotations, write_annotations

    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    y, x = (2 * at for at in CENTRE)
    round_ = (
        shapely.Point(x + 30, y - 40)
        .buffer(190)
        .difference(shapely.Point(x + 80, y - 60).buffer(60))
    )
    other = shapely.box(x - 480, y + 40, x - 240, y + 260)
    marked = Annotations(
        (
            Annotation(round_, "Tumor", (200, 0, 0)),
            Annotation(other, "Stroma", (0, 130, 60)),
            Annotation(
                shapely.MultiPoint([(x - 30, y - 130), (x, y + 60)]), "Mitosis", (0, 0, 200)
            ),
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_annotations(Path(folder) / "case.geojson", marked)
        viewer.open(str(path), plugin="napari-smoothsal")
    draw(0.5)


def verdicts(viewer: Any, dock: Any) -> None:
    """Hotspots of the slide's map, some of them judged."""
    whole_slide(viewer, dock)
    other = dock_in_front(viewer, "Verdicts")
    click(other.search)
    wait(lambda: not other.busy)
    notes = (("agree", "tumour nuclei"), ("wrong", "stroma"), ("agree", "tumour nuclei"))
    for row, (said, note) in enumerate(notes):
        rows = [place.verdict is None for place in other.table.places]
        other.table.choose(rows.index(True))
        fill_in(other.note, note)
        click(other.said[said])
        wait(lambda row=row: sum(p.verdict is not None for p in other.table.places) == row + 1)
    other.table.choose(0)
    viewer.scene.camera.zoom *= 0.25
    draw(0.5)


def shared_view(viewer: Any, dock: Any) -> None:
    """A link to this place, opened somewhere else on the slide."""
    by_deeplift(dock)
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    other = dock_in_front(viewer, "Shared view")
    click(other.copy)
    link = QGuiApplication.clipboard().text()
    viewer.reset_view()
    fill_in(other.link, link)
    draw(0.5)


FILES = {"saved_figure", "compared"}
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
        trust,
        own_limits,
        paused,
        stretched,
        other_method,
        predictions,
        prediction_layer,
        compared,
        compare_dock,
        dropped_store,
        annotations,
        verdicts,
        shared_view,
        bad_input,
        real_slide,
        saved_figure,
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
