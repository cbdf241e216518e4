"""How soon columns are compared, and how soon one takes the other's place, in a real window.

    xvfb-run -a -s "-screen 0 2000x1400x24" python benchmarks/comparing.py --out FILE

The sample slide and the demo classifier, a view of 1024 x 1024 px.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# What docks remember of this is nobody's.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import numpy as np
from machine import machine
from viewer_window import draw, look_at_view, ready, share_changed, slide_path, wait, window

ROUNDS = 20
WAYS: dict[str, tuple[str, ...]] = {
    "denoising": ("original", "backward_hook", "forward_hook", "centred_hook"),
    "layer": ("layer1", "layer2", "layer3"),
}


def main() -> None:
    """Each way, then the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    packages = ("napari", "PyQt6", "torch")
    report = {"machine": machine(), **{name: version(name) for name in packages}}
    with window() as (viewer, _), slide_path() as path:
        saliency = ready(viewer, path)
        saliency.form.controls["samples"].value = 0
        look_at_view(viewer)
        _, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Compare")
        draw(1.0)
        for varied, values in WAYS.items():
            dock.form.varied.setCurrentText(varied)
            dock.form.check(*values)
            report[varied] = {"columns": len(values)} | _measured(dock)
        viewer.window.remove_dock_widget(dock)
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


def _measured(dock: Any) -> dict[str, Any]:
    """Seconds until the columns are there, and ms of a switch until its frame is drawn."""
    seen: list[float] = []

    def noted(_job: Any, answer: Any) -> None:
        if getattr(answer, "columns", ()):
            seen.append(time.perf_counter())

    dock._asking.told.connect(noted)
    dock._asking.ended.connect(noted)
    start = time.perf_counter()
    dock.compare.click()
    wait(lambda: not dock.busy)
    end = time.perf_counter()
    dock._asking.told.disconnect(noted)
    dock._asking.ended.disconnect(noted)
    columns = dock.window_of_columns
    draw(1.0)
    native = columns.columns[0].canvas
    frames: list[float] = []
    native.frameSwapped.connect(lambda: frames.append(time.perf_counter()))
    bar, count = columns.bar, len(columns.columns)
    bar.show_one(0)
    draw(1.0)
    first = [_switch(native, frames, lambda n=n: bar.show_one(n)) for n in range(1, count)]
    again = [_switch(native, frames, bar.show_next) for _ in range(ROUNDS)]
    together = [
        _switch(native, frames, lambda n=n: bar.show_one(n), changes=False)
        for n in [None, 0] * (ROUNDS // 2)
    ]
    return {
        "first_columns_s": round(seen[0] - start, 2),
        "all_columns_s": round(end - start, 2),
        "first_switch_ms": _summary(first),
        "switch_ms": _summary(again),
        "side_by_side_and_back_ms": _summary(together),
    }


def _switch(
    native: Any, frames: list[float], act: Callable[[], None], *, changes: bool = True
) -> float:
    """Milliseconds from an act to the frame that is drawn after it."""
    before = _pixels(native)
    draw(0.2)
    known, start = len(frames), time.perf_counter()
    act()
    wait(lambda: len(frames) > known)
    took = (frames[known] - start) * 1000
    if changes:
        assert share_changed(before, _pixels(native)) > 0.001, "the same is drawn"
    return took


def _pixels(native: Any) -> np.ndarray:
    image = native.grabFramebuffer().convertToFormat(native.grabFramebuffer().Format.Format_RGB888)
    rows = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    rows = rows.reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def _summary(ms: list[float]) -> dict[str, Any]:
    return {
        "median": round(statistics.median(ms), 1),
        "worst": round(max(ms), 1),
        "count": len(ms),
    }


if __name__ == "__main__":
    main()
