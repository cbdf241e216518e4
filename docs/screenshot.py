"""Make docs/napari.png: the real viewer on tumour beside normal tissue, with the Saliency dock.

    python docs/screenshot.py [--slide SLIDE] [--model MODEL] [--centre Y,X --width W] [--out PNG]

Needs a display; without one, run it under ``xvfb-run -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

import napari
import torch  # noqa: F401  before Qt: on Windows its libraries cannot be loaded afterwards
from qtpy.QtWidgets import QApplication

from napari_smoothsal.slides.sample import sample_slide_path

SIZE = (1600, 1000)
PATIENCE_S = 300


def main() -> None:
    """Open, explain, look, save."""
    options = _options()
    with ExitStack() as stack:
        slide = options.slide or stack.enter_context(sample_slide_path())
        times: dict[str, float] = {}
        start = time.perf_counter()
        viewer = napari.Viewer(title="napari-smoothsal")
        viewer.window.resize(*SIZE)
        draw(0.5)
        times["viewer"] = time.perf_counter() - start
        start = time.perf_counter()
        viewer.open(str(slide), plugin="napari-smoothsal")
        viewer.screenshot(flash=False)
        times["slide opened to first pixels"] = time.perf_counter() - start
        start = time.perf_counter()
        _, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
        QApplication.processEvents()
        times["dock opened"] = time.perf_counter() - start
        viewer.canvas.overlays.scale_bar.visible = True
        y, x = (float(v) for v in options.centre.split(","))
        viewer.scene.camera.center = (0.0, y, x)
        draw(0.5)
        viewer.scene.camera.zoom = viewer.canvas.size[1] / options.width
        start = time.perf_counter()
        wait(lambda: bool(dock.form.controls["layer"].value))
        if Path(options.model).is_dir():
            dock.slides.add_model(options.model)
        elif options.model != dock.slides.model:
            dock.slides.model = options.model
        wait(lambda: bool(dock.form.controls["layer"].value))
        times["engine and model ready"] = time.perf_counter() - start
        for name in ("layer", "method"):
            if getattr(options, name):
                dock.form.controls[name].value = getattr(options, name)
        for name in ("first", "warm"):
            start = time.perf_counter()
            dock.explain_view()
            wait(lambda: not dock.busy)
            times[f"explain view to overlay, {name}"] = time.perf_counter() - start
        draw(1.0)
        print(dock.bar.status, "|", dock.reading.text)
        viewer.screenshot(str(options.out), canvas_only=False, flash=False)
        for name, seconds in times.items():
            print(f"{name}: {seconds:.2f} s")
        viewer.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--model", default="demo-classifier")
    parser.add_argument("--layer", default="layer2")
    parser.add_argument("--method", default="activation_x_gradient")
    parser.add_argument("--centre", default="1270,1290", help="y,x in um")
    parser.add_argument("--width", type=float, default=560, help="um across the canvas")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("napari.png"))
    return parser.parse_args()


def draw(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait(condition: object) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise SystemExit("the viewer did not get there in time")
        QApplication.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main()
