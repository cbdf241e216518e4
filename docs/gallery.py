"""Make docs/gallery/: what the docks do, in a real window on the sample slide.

    python docs/gallery.py [NAME ...]

Needs a display; without one, run it under ``xvfb-run -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What the docks remember of this is nobody's.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
import torch  # noqa: F401  before Qt: on Windows its libraries cannot be loaded afterwards
from screenshot import SIZE, draw, wait

from napari_smoothsal.slides.sample import sample_slide_path

FOLDER = Path(__file__).with_name("gallery")
CENTRE, WIDTH_UM = (1270.0, 1290.0), 560.0


def view(viewer: Any, dock: Any) -> None:
    """A view, explained live; the pointer on the strongest place."""
    dock.bar.live.setChecked(True)
    wait(lambda: any("(view)" in layer.name for layer in viewer.layers) and not dock.busy)
    dock.bar.live.setChecked(False)
    layer = viewer.layers[-1]
    values = np.asarray(layer.data)
    place = np.unravel_index(np.nanargmax(values), values.shape)
    viewer.cursor.position = tuple(layer.data_to_world(place))
    dock.pointer.read()


def region(viewer: Any, dock: Any) -> None:
    """A drawn ellipse, explained."""
    y, x = CENTRE
    corners = [[y - 90, x - 130], [y - 90, x + 130], [y + 90, x + 130], [y + 90, x - 130]]
    viewer.add_shapes(
        [np.array(corners)],
        shape_type="ellipse",
        edge_width=4,
        edge_color="#00e5ff",
        face_color="transparent",
        units=("um", "um"),
        name="what I ask about",
    )
    dock.explain_region()
    wait(lambda: not dock.busy)


def estimate(viewer: Any, dock: Any) -> None:
    """What the whole slide would take."""
    viewer.reset_view()
    dock.estimate_slide()
    wait(dock.bar.start.isEnabled)


def total_variation(viewer: Any, dock: Any) -> None:
    """Roughness by layer and denoising, of the view."""
    _, other = viewer.window.add_plugin_dock_widget(
        "napari-smoothsal", "Total variation", tabify=True
    )
    view(viewer, dock)
    other.ask_view()
    wait(lambda: not other.busy)


def predictions(viewer: Any, dock: Any) -> None:
    """What is predicted of the view under the forward hook, and the tiles of the slide."""
    _, other = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Predictions", tabify=True)
    dock.form.controls["samples"].value = 2
    dock.explain_slide()
    wait(lambda: not dock.busy)
    other.next.click()
    dock.form.controls["denoising"].value = "forward_hook"
    other.ask_view()
    wait(lambda: not other.busy)


SCENES: dict[str, Callable[[Any, Any], None]] = {
    f.__name__: f for f in (view, region, estimate, total_variation, predictions)
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
            dock.form.controls["method"].value = "activation_x_gradient"
            SCENES[name](viewer, dock)
            dock.slides._folder.setText("")
            draw(1.0)
            viewer.screenshot(str(FOLDER / f"{name}.png"), canvas_only=False, flash=False)
            viewer.close()
            draw(0.5)


if __name__ == "__main__":
    main()
