"""Annotations, verdicts and shared views in a real window, as napari hands plugins its viewer."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import shapely
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication
from viewer_listening import PATIENCE_MS

from napari_smoothsal import SaliencySpec, explain_slide, load_model
from napari_smoothsal.annotations import Annotation, Annotations, read_annotations
from napari_smoothsal.annotations import write_annotations as write
from napari_smoothsal.runs.verdicts import read_verdicts

pytestmark = pytest.mark.gl


@pytest.fixture
def window(make_napari_viewer_proxy: Callable[..., Any], tiff_slide: Path) -> Any:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1200, 800)
    viewer.open(tiff_slide, plugin="napari-smoothsal")
    return viewer


def screen(viewer: Any, qtbot: Any) -> Any:
    qtbot.waitUntil(lambda: all(x.loaded for x in viewer.layers), timeout=PATIENCE_MS)
    for _ in range(10):
        QApplication.processEvents()
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3].astype(int)


def test_areas_with_holes_are_outlined_on_the_tissue_and_saved(
    window: Any, tmp_path: Path, qtbot: Any
) -> None:
    area = shapely.box(200, 150, 700, 550).difference(shapely.box(400, 300, 500, 400))
    path = write(tmp_path / "case.geojson", Annotations((Annotation(area, "Tumor", (0, 255, 0)),)))
    bare = screen(window, qtbot)
    window.open(path, plugin="napari-smoothsal")
    layer = window.layers[-1]
    layer.text.visible = False
    layer.edge_width = 8
    layer.selected_data = set()
    window.layers.selection.active = window.layers[0]
    drawn = screen(window, qtbot)
    green = (np.abs(drawn - bare).max(axis=2) > 60) & (drawn[..., 1] > 180) & (drawn[..., 0] < 90)
    slide = window.layers[0]
    height, width = green.shape
    camera = window.scene.camera

    def at(x: float, y: float) -> bool:
        """Whether it is green there, in level-0 px."""
        world = np.array(slide.data_to_world((y - 0.5, x - 0.5)))[-2:]
        scale = height / window.canvas.size[0]
        row, column = (world - camera.center[-2:]) * camera.zoom * scale + (height / 2, width / 2)
        return bool(green[int(row), int(column)])

    for x, y in ((450, 150), (450, 550), (200, 350), (700, 350), (450, 300), (500, 350)):
        assert at(x, y), (x, y)
    # Neither filled, nor is the way over to the hole drawn.
    (start, *_), (corner, *_) = map(shapely.get_coordinates, (area.exterior, area.interiors[0]))
    way = shapely.LineString([start, corner])
    for place in (way.interpolate(part, True) for part in np.linspace(0, 1, 25)):
        assert area.boundary.distance(place) < 12 or not at(place.x, place.y)
    assert not at(300, 500) and not at(450, 350)
    window.layers.selection.active = layer
    saved = window.layers.save(
        str(tmp_path / "b.geojson"), selected=True, plugin="napari-smoothsal"
    )
    assert saved == [str(tmp_path / "b.geojson")]
    (back,) = read_annotations(tmp_path / "b.geojson")
    assert back.geometry.equals_exact(area, 0.0)


def test_docks_judge_share_and_leave_nothing(
    window: Any, tiff_slide: Path, model_folder: Path, tmp_path: Path, qtbot: Any
) -> None:
    run = explain_slide(
        tiff_slide,
        load_model(str(model_folder)),
        [SaliencySpec(layer="layer2", samples=0)],
        tmp_path / "case.smoothsal.zarr",
        region=(100, 200, 200, 200),
        progress=False,
    )
    window.open(run.path, plugin="napari-smoothsal")
    hearing = _hearing(window)
    names = ("Verdicts", "Shared view")
    docks = [window.window.add_plugin_dock_widget("napari-smoothsal", n)[1] for n in names]
    verdicts, sharing = docks
    assert type(verdicts.viewer) is PublicOnlyProxy
    verdicts.search.click()
    qtbot.waitUntil(lambda dock=verdicts: not dock.busy, timeout=PATIENCE_MS)
    verdicts.table.choose(0)
    before = screen(window, qtbot)
    verdicts.said["artefact"].click()
    assert [v.said for v in read_verdicts(run).verdicts] == ["artefact"]
    assert (np.abs(screen(window, qtbot) - before).max(axis=2) > 60).sum() > 50  # its colour
    path = tmp_path / "a.smoothsal-view.json"
    place = window.scene.camera.center
    sharing.write(path)
    window.reset_view()
    assert window.scene.camera.center != place
    window.open(path, plugin="napari-smoothsal")
    assert window.scene.camera.center == pytest.approx(place)
    engine = verdicts.session.engine.process_id
    for dock in docks:
        window.window.remove_dock_widget(dock)
    gone = [weakref.ref(dock) for dock in docks]
    del verdicts, sharing, dock
    docks.clear()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert not psutil.pid_exists(engine)
    assert _hearing(window) == hearing
    assert [dock() for dock in gone] == [None, None]


def _hearing(viewer: Any) -> dict[str, int]:
    groups = {"layers": viewer.layers.events, "selection": viewer.layers.selection.events}
    found = {
        f"{group}.{name}": len(emitter.callbacks)
        for group, events in groups.items()
        for name, emitter in events.emitters.items()
    }
    return found | {"drag": len(viewer.mouse_drag_callbacks)}
