"""A napari window in a process of its own, for what only such a process shows.

``python scripted_window.py SCENE SLIDE MODEL``: each scene says on standard output what the test
needs to know, as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

EVERY_MS = 20
Steps = Iterator[Callable[[], bool]]
"""What is waited for before the next step."""


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201 - to the test


def opened(slide: Path, model: Path) -> tuple[Any, Any]:
    """A window with the slide, and its Saliency dock with the model."""
    import napari

    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.open(slide, plugin="napari-smoothsal")
    _, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
    dock.slides.add_model(str(model))
    return viewer, dock


def closed_midway(slide: Path, model: Path) -> Steps:
    """The window is closed while the slide is explained and part of its store is written."""
    viewer, dock = opened(slide, model)
    yield lambda: bool(dock.form.controls["layer"].value)
    dock.form.controls["layer"].value = "relu"
    # So many that the rest takes longer than a busy window needs to hear of what is done.
    dock.form.controls["samples"].value = 12
    dock.explain_slide()
    bar = dock.bar.progress_bar
    # By then the first band of the map is written; it has two.
    yield lambda: bar.maximum() > 1 and bar.value() > 0.85 * bar.maximum()
    say(engine=dock.session.engine.process_id, folder=str(dock.session.folder))
    viewer.close()


def docks_and_a_view(slide: Path, model: Path) -> Steps:
    """Every dock opens; a view is explained, measured, predicted and saved; it closes."""
    import qtpy

    viewer, dock = opened(slide, model)
    beside = {
        name: viewer.window.add_plugin_dock_widget("napari-smoothsal", name)[1]
        for name in ("Total variation", "Predictions")
    }
    yield lambda: bool(dock.form.controls["layer"].value)
    dock.form.controls["samples"].value = 0
    dock.explain_view()
    yield lambda: not dock.busy
    viewer.screenshot(canvas_only=False, flash=False)
    for each in beside.values():
        each.ask_view()
        yield lambda each=each: not each.busy
        each.write_picture(slide.with_name(f"{type(each).__name__}.png"))
    say(
        qt=qtpy.API,
        layers=[layer.name for layer in viewer.layers],
        said=[dock.bar.status, *(each.status for each in beside.values())],
        engine=dock.session.engine.process_id,
    )
    viewer.close()


def play(steps: Steps) -> None:
    """Take the steps while napari runs, and return when its window is closed."""
    import napari
    from qtpy.QtCore import QTimer

    timer = QTimer()
    awaited = next(steps)

    def look() -> None:
        nonlocal awaited
        if awaited():
            try:
                awaited = next(steps)
            except StopIteration:
                timer.stop()

    timer.timeout.connect(look)
    timer.start(EVERY_MS)
    napari.run()


SCENES = {scene.__name__: scene for scene in (closed_midway, docks_and_a_view)}

if __name__ == "__main__":
    play(SCENES[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3])))
