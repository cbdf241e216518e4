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

import gallery_workbench as workbench
import napari
import numpy as np
import torch  # noqa: F401  before Qt: on Windows its libraries cannot be loaded afterwards
from gallery_mouse import (
    CENTRE,
    FOLDER,
    WIDTH_UM,
    by_deeplift,
    click,
    dock_in_front,
    estimate,
    explain_drawn,
    fill_in,
    pick,
    whole_slide,
)
from screenshot import SIZE, draw, wait

from napari_smoothsal.slides.sample import sample_slide_path


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


def region(viewer: Any, dock: Any) -> None:
    """A drawn ellipse, explained."""
    explain_drawn(viewer, dock, "ellipse", 90, 130)


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
        workbench.trust,
        workbench.own_limits,
        paused,
        stretched,
        other_method,
        predictions,
        prediction_layer,
        workbench.compared,
        workbench.compare_dock,
        dropped_store,
        workbench.annotations,
        workbench.verdicts,
        workbench.shared_view,
        bad_input,
        real_slide,
        saved_figure,
        workbench.what_if,
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
