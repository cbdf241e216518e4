"""The three docks in a real window, as napari hands them its viewer, with either slicing."""

from __future__ import annotations

import gc
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from napari.settings import get_settings
from napari.utils._proxies import PublicOnlyProxy
from numpy.typing import NDArray
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal.viewer.roughness_plot import RoughnessPlot

pytestmark = pytest.mark.gl

DOCKS = ("Saliency", "Total variation", "Predictions")
EVERY = (*DOCKS, "Trust")


@pytest.fixture(params=[False, True], ids=["synchronous", "asynchronous"])
def slicing(request: pytest.FixtureRequest, make_napari_viewer_proxy: Any) -> Iterator[bool]:
    """napari's setting, which is the user's."""
    settings = get_settings().experimental
    before = settings.async_
    settings.async_ = request.param
    yield request.param
    settings.async_ = before


@pytest.fixture
def window(make_napari_viewer_proxy: Callable[..., Any], tiff_slide: Path) -> Any:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1200, 800)
    viewer.open(tiff_slide, plugin="napari-smoothsal")
    return viewer


def opened(viewer: Any, model_folder: Path, qtbot: Any, names: Any = DOCKS) -> list[Any]:
    docks = [viewer.window.add_plugin_dock_widget("napari-smoothsal", n)[1] for n in names]
    docks[0].slides.add_model(str(model_folder))
    qtbot.waitUntil(lambda: bool(docks[0].form.controls["layer"].value), timeout=PATIENCE_MS)
    docks[0].form.controls["samples"].value = 0
    return docks


def coloured(viewer: Any, layer: Any, qtbot: Any) -> float:
    """The part of the canvas that a layer changes."""

    def picture(visible: bool) -> NDArray[np.int16]:
        layer.visible = visible
        qtbot.waitUntil(lambda: all(x.loaded for x in viewer.layers), timeout=PATIENCE_MS)
        for _ in range(10):
            QApplication.processEvents()
        return np.asarray(viewer.screenshot(canvas_only=True, flash=False)).astype(np.int16)

    return float((np.abs(picture(True) - picture(False)).max(axis=2) > 12).mean())


def test_docks_open_explain_and_close(
    slicing: bool, window: Any, model_folder: Path, qtbot: Any
) -> None:
    saliency, roughness, predictions = opened(window, model_folder, qtbot)
    assert {type(dock.viewer) for dock in (saliency, roughness, predictions)} == {PublicOnlyProxy}
    for explain in (saliency.explain_view, saliency.explain_slide):
        explain()
        finish(saliency, qtbot)
        assert saliency.bar.status.startswith("Done.")
        assert coloured(window, window.layers[-1], qtbot) > 0.05
    for dock in (roughness, predictions):
        dock.ask_view()
        qtbot.waitUntil(lambda dock=dock: not dock.busy, timeout=PATIENCE_MS)
        assert "tiles" in dock.status
    assert predictions.tiles.model().rowCount() > 40
    predictions.as_layer.click()
    assert coloured(window, window.layers[-1], qtbot) > 0.05
    assert get_settings().experimental.async_ == slicing
    engine = saliency.session.engine.process_id
    for dock in (saliency, roughness, predictions):
        window.window.remove_dock_widget(dock)
    assert not psutil.pid_exists(engine)


def callbacks(viewer: Any) -> dict[str, int]:
    """How many hear of each event of a viewer, and of what docks use of it."""
    application = QApplication.instance()
    assert application is not None
    groups = {
        "viewer": viewer.events,
        "layers": viewer.layers.events,
        "selection": viewer.layers.selection.events,
        "camera": viewer.scene.camera.events,
        "canvas": viewer.canvas.events,
        "dims": viewer.dims.events,
        "slide": viewer.layers[0].events,
    }
    found = {
        f"{group}.{name}": len(emitter.callbacks)
        for group, events in groups.items()
        for name, emitter in events.emitters.items()
    }
    return found | {
        "pointer": len(viewer.mouse_move_callbacks),
        "drag": len(viewer.mouse_drag_callbacks),
        "wheel": len(viewer.mouse_wheel_callbacks),
        "keys": len(viewer.keymap),
        "quitting": application.receivers(application.aboutToQuit),
    }


def left_behind() -> dict[str, set[Any]]:
    """What a process holds beside memory."""
    me = psutil.Process()
    return {
        "threads": {thread.name for thread in threading.enumerate()},
        "processes": {child.pid for child in me.children(recursive=True)},
        # napari keeps a picture of its own open.
        "files": {f.path for f in me.open_files() if "site-packages" not in f.path},
        "folders": set(Path(tempfile.gettempdir()).glob("smoothsal-*")),
    }


def test_docks_leave_nothing_behind(
    window: Any, model_folder: Path, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    RoughnessPlot()  # pyqtgraph hears of the application's end from its first plot on
    heard, before = callbacks(window), left_behind()
    docks = opened(window, model_folder, qtbot, EVERY)
    assert callbacks(window) != heard
    assert all(left_behind()[kind] - before[kind] for kind in ("processes", "folders"))
    docks[0].explain_view()
    finish(docks[0], qtbot)
    docks[0].bar.live.setChecked(True)
    for dock in docks[1:]:
        dock.live.setChecked(True)
    window.scene.camera.zoom *= 1.5
    qtbot.waitUntil(lambda: all(dock.busy for dock in docks), timeout=PATIENCE_MS)
    # Closed in the midst of it.
    for dock in docks:
        window.window.remove_dock_widget(dock)
    gone = [weakref.ref(dock) for dock in docks]
    window.layers.pop()
    docks.clear()
    del dock
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert callbacks(window) == heard
    after = left_behind()
    assert not any(after[kind] - before[kind] for kind in after), (before, after)
    assert [dock() for dock in gone] == [None] * len(EVERY)
