"""How soon the viewer answers, in a real window on the sample slide with the demo models.

    xvfb-run -a -s "-screen 0 2000x1400x24" python benchmarks/responsiveness.py --out FILE

Each scene runs in a process of its own, fresh ones several times; they take about six minutes
on two busy cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from gui_thread import Frames, Hold, Holds
from machine import machine
from viewer_window import (
    draw,
    look_at_view,
    ready,
    share_changed,
    shows_tissue,
    slide_path,
    wait,
    window,
)

Report = dict[str, Any]

FRESH = 5
"""Fresh processes for what is measured in such."""
ROUNDS = 6
CHANGES = [
    ("layer", "layer1"),
    ("denoising", "original"),
    ("sigma", 0.1),
    ("layer", "layer2"),
    ("denoising", "centred_hook"),
    ("sigma", 0.2),
]
MAPS = """
import sys
import napari_smoothsal as ss
from napari_smoothsal.viewer.map_picture import pictures_of
specs = [ss.SaliencySpec(layer=f"layer{i}", method="gradient", samples=0) for i in (1, 2, 3)]
model = ss.load_model("demo-classifier")
run = ss.explain_slide(sys.argv[1], model, specs, sys.argv[2], progress=False)
for picture in pictures_of(run):
    print(picture.model_dump_json())
"""
PAN_S = 30
FRAMES = 30
"""Of one pan."""
PLAIN = "plain add_image"


def main() -> None:
    """Every scene, then the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE", choices=[[], *SCENES])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scene", choices=SCENES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scene:
        print(json.dumps(SCENES[options.scene]()))
        return
    packages = ("napari", "PyQt6", "torch")
    report: Report = {"machine": machine(), **{name: version(name) for name in packages}}
    start = time.monotonic()
    for name in options.scenes or SCENES:
        times = FRESH if name in ("dock", "slide") else 1
        found = [_in_a_process(name) for _ in range(times)]
        report[name] = {"load": round(os.getloadavg()[0], 2), **_merged(found)}
        print(name, json.dumps(report[name]), file=sys.stderr)
    report["minutes"] = round((time.monotonic() - start) / 60, 1)
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


def _in_a_process(scene: str) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        # What docks remember of this is nobody's.
        settings = {"NAPARI_CONFIG": str(Path(folder) / "settings.yaml")}
        command = [sys.executable, __file__, "--scene", scene]
        ended = subprocess.run(
            command, env=os.environ | settings, stdout=subprocess.PIPE, check=False
        )
    if ended.returncode:
        raise SystemExit(f"scene {scene} ended with code {ended.returncode}")
    return json.loads(ended.stdout.splitlines()[-1])


def _merged(found: list[Report]) -> Report:
    """Seconds of several processes as one list each; what is none is of the last one."""
    merged = dict(found[-1])
    for key, value in merged.items():
        if isinstance(value, list) and isinstance(value[0], float):
            merged[key] = _summary([x for one in found for x in one[key]])
    return merged


def _summary(seconds: list[float]) -> Report:
    return {
        "median": round(statistics.median(seconds), 3),
        "worst": round(max(seconds), 3),
        "seconds": [round(x, 3) for x in seconds],
    }


def dock() -> Report:
    """From asking for the dock to its first paint, its import included."""
    from qtpy.QtCore import QEvent, QObject

    with window() as (viewer, _):
        painted: list[bool] = []

        class Watch(QObject):
            def eventFilter(self, _: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
                if event.type() == QEvent.Type.Paint:
                    painted.append(True)
                return False

        watch = Watch()
        assert "napari_smoothsal.viewer" not in sys.modules
        start = time.perf_counter()
        _, widget = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
        widget.installEventFilter(watch)
        wait(lambda: bool(painted))
        seconds = time.perf_counter() - start
        return {"seconds": [seconds], "torch_imported": "torch" in sys.modules}


def slide() -> Report:
    """From asking for the slide to the first frame with tissue, the import included."""
    with window() as (viewer, frames), slide_path() as path:
        frames.look = True
        start = time.perf_counter()
        viewer.open(str(path), plugin="napari-smoothsal")
        wait(lambda: shows_tissue(frames.pixels))
        return {"seconds": [frames.ends[-1] - start]}


def view() -> Report:
    """From the click, or the changed setting, to the first frame with the new overlay."""
    with window() as (viewer, frames), slide_path() as path:
        widget = ready(viewer, path)
        frames.look = True
        look_at_view(viewer)
        answers: list[tuple[float, Any]] = []
        widget.session.engine.answered.connect(
            lambda answer: answers.append((time.perf_counter(), answer))
        )

        answered: list[float] = []

        def drawn(act: Callable[[], None]) -> float:
            """Seconds from an act to the frame that shows the first map that was asked after it."""
            known = [answer.id for _, answer in answers if hasattr(answer, "id")]
            newest = max(known, default=0)
            before, start = frames.pixels, time.perf_counter()
            act()

            def told() -> list[float]:
                new = [(at, x) for at, x in answers if getattr(x, "id", 0) > newest]
                return [at for at, x in new if type(x).__name__ in ("Grown", "Finished")]

            wait(lambda: bool(told()) and frames.ends[-1] > told()[0])
            answered.append(told()[0] - start)
            first = next(at for at in frames.ends if at > told()[0])
            assert share_changed(before, frames.pixels) > 0.01, "no overlay was drawn"
            return first - start

        def stop() -> None:
            widget.cancel()
            wait(lambda: not widget.busy)

        clicked: list[float] = []
        for number in range(ROUNDS + 1):
            for layer in viewer.layers[1:]:
                viewer.layers.remove(layer)
            draw(0.5)
            took = drawn(widget.explain_view)
            clicked += [took] if number else []
            reading = widget.reading.text
            stop()
        widget.bar.live.setChecked(True)
        wait(lambda: widget.busy)
        wait(lambda: any(type(x).__name__ == "Grown" for _, x in answers[-3:]))
        changed: dict[str, list[float]] = {}
        for name, value in CHANGES:
            # The view is being refined meanwhile: the change ends that.
            control = widget.form.controls[name]
            took = drawn(lambda control=control, value=value: setattr(control, "value", value))
            changed.setdefault(name, []).append(took)
            draw(1.0)
        widget.bar.live.setChecked(False)
        stop()
        return {
            "reading": reading,
            "explain_view": clicked,
            "explain_view_until_shown": answered[1 : ROUNDS + 1],
            "change": [x for some in changed.values() for x in some],
            "change_until_shown": answered[ROUNDS + 1 :],
            "change_of": {name: _summary(some) for name, some in changed.items()},
        }


def holds() -> Report:
    """How long the package holds the GUI thread while a slide is explained and looked around in."""
    recorded = Holds()
    recorded.record()
    with window(recorded) as (viewer, frames), slide_path() as path:
        widget = ready(viewer, path)
        with tempfile.TemporaryDirectory() as folder:
            widget.slides._folder.setText(folder)
            widget.form.controls["samples"].value = 4
            draw(1.0)
            recorded.all.clear()
            frames.seconds.clear()
            widget.explain_slide()
            start = time.perf_counter()
            while (now := time.perf_counter() - start) < PAN_S:
                _fly(viewer, now / PAN_S)
                draw(0.016)
            maps = len(viewer.layers) - 1
            found = list(recorded.all)
            widget.cancel()
            wait(lambda: not widget.busy)
            # What napari alone takes for a layer, in the same window while the engine works.
            widget.form.controls["samples"].value = 500
            widget.explain_view()
            draw(2.0)
            for _ in range(ROUNDS):
                with recorded.entry(PLAIN):
                    _add_plain_image(viewer)
                draw(0.5)
            plain = [x for x in recorded.all if x.name == PLAIN]
            widget.cancel()
            wait(lambda: not widget.busy)
        tiles = [x for x in found if x.name.startswith("viewer.slide_levels.")]
        rest = [x for x in found if not x.name.startswith("viewer.slide_levels.")]
        return {
            "map_shown": bool(maps),
            "plain_add_image_cpu_ms": [round(x.cpu_s * 1000, 1) for x in plain],
            "frames": len(frames.seconds),
            "all": _held(found),
            "all_but_napari_adding_layers": _held([_own(x) for x in found]),
            "slide_pixels": _held(tiles),
            "all_but_slide_pixels": _held(rest),
        }


def _add_plain_image(viewer: Any) -> None:
    values = np.zeros((256, 256), np.float32)
    viewer.add_image(values, contrast_limits=(-1, 1), units=("um", "um"))


def _fly(viewer: Any, part: float) -> None:
    """Along a path over the slide that zooms in and out four times; part goes from 0 to 1."""
    turn = 2 * np.pi * part
    y, x = 1536 + 900 * np.sin(turn), 1024 + 500 * np.cos(2 * turn)
    viewer.scene.camera.center = (0.0, y, x)
    viewer.scene.camera.zoom = 2.0 ** (-0.5 + 1.5 * np.sin(4 * turn))


def _own(hold: Hold) -> Hold:
    """Without what napari does to add or remove a layer."""
    seconds, cpu_s = hold.seconds - hold.adding_s, hold.cpu_s - hold.adding_cpu_s
    return replace(hold, seconds=seconds, cpu_s=cpu_s, adding_s=0.0, adding_cpu_s=0.0)


def _held(some: list[Hold]) -> Report:
    if not some:
        return {"entries": 0}
    ms = np.array([x.seconds for x in some]) * 1000
    longest = sorted(some, key=lambda x: -x.seconds)[:6]
    return {
        "entries": len(some),
        "median_ms": round(float(np.median(ms)), 3),
        "p99_ms": round(float(np.percentile(ms, 99)), 2),
        "p99_cpu_ms": round(float(np.percentile([x.cpu_s * 1000 for x in some], 99)), 2),
        "longest_ms": round(float(ms.max()), 1),
        "longest_cpu_ms": round(max(x.cpu_s for x in some) * 1000, 1),
        "over_50_ms": int((ms > 50).sum()),
        "over_10_ms_cpu": sum(x.cpu_s > 0.01 for x in some),
        "longest": [
            f"{x.name}: {x.seconds * 1e3:.1f} ms, {x.cpu_s * 1e3:.1f} ms CPU"
            + (f", {x.adding_cpu_s * 1e3:.1f} of it napari's layers" if x.adding_s else "")
            for x in longest
        ],
    }


def frames() -> Report:
    """Frames of a pan with three maps over the slide, and with three plain images instead."""
    with slide_path() as path, tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "maps.smoothsal.zarr")
        # In a process of its own: napari's does not load torch.
        computed = subprocess.run(
            [sys.executable, "-c", MAPS, str(path), store], check=True, stdout=subprocess.PIPE
        )
        with window() as (viewer, drawn):
            from napari_smoothsal.viewer.map_picture import MapPicture
            from napari_smoothsal.viewer.overlay import Overlay

            (layer,) = viewer.open(str(path), plugin="napari-smoothsal")
            for line in computed.stdout.splitlines():
                overlay = Overlay(viewer, layer, tuple(layer.scale), part="slide")
                overlay.show(MapPicture.model_validate_json(line))
            maps = list(viewer.layers[1:])
            plain = [
                viewer.add_image(
                    [np.array(level) for level in x.data] if x.multiscale else np.array(x.data),
                    multiscale=x.multiscale,
                    contrast_limits=x.contrast_limits,
                    opacity=0.5,
                    blending="translucent",
                    scale=x.scale,
                    translate=x.translate,
                    units=x.units,
                )
                for x in maps
            ]
            assert len(maps) == len(plain) == 3
            whole: dict[str, list[float]] = {"maps": [], "plain": []}
            drawing: dict[str, list[float]] = {"maps": [], "plain": []}
            for number in range(ROUNDS + 2):
                name, shown = ("maps", maps) if number % 2 else ("plain", plain)
                for layer in viewer.layers[1:]:
                    layer.visible = layer in shown
                _fly(viewer, 0.0)
                draw(0.5)
                took, drew = _pan(viewer, drawn)
                if number >= 2:  # the slide's tiles have been read
                    whole[name] += took
                    drawing[name] += drew
            return {
                "whole_frame_ms": _compared(whole),
                "drawing_ms": _compared(drawing),
                "frames": len(whole["maps"]),
                "layer_px": [[int(n) for n in x.extent.data[1] + 1] for x in maps],
            }


def _pan(viewer: Any, frames: Frames) -> tuple[list[float], list[float]]:
    """Seconds of each frame of a pan: from moving the camera to the drawn frame, and of drawing."""
    whole, first = [], len(frames.seconds)
    for step in range(FRAMES):
        count, start = len(frames.ends), time.perf_counter()
        _fly(viewer, (step + 1) / FRAMES / 8)
        wait(lambda count=count: len(frames.ends) > count)
        whole.append(frames.ends[-1] - start)
    return whole, frames.seconds[first:]


def _compared(seconds: dict[str, list[float]]) -> Report:
    ms = {name: round(statistics.median(some) * 1000, 2) for name, some in seconds.items()}
    return {**ms, "ratio": round(ms["maps"] / ms["plain"], 3)}


SCENES: dict[str, Callable[[], Report]] = {
    x.__name__: x for x in (dock, slide, view, holds, frames)
}


if __name__ == "__main__":
    main()
