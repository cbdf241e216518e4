"""The Verdicts and the Shared view dock, with a real engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal import SaliencySpec, explain_slide, load_model
from napari_smoothsal.annotations import read_annotations
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.hotspots import hotspots
from napari_smoothsal.runs.verdicts import read_verdicts, verdicts_path
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.readers import read_slides, read_stores
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.shared_view_dock import SharedViewDock
from napari_smoothsal.viewer.verdict_outlines import is_outlines
from napari_smoothsal.viewer.verdicts_dock import VerdictsDock
from napari_smoothsal.viewer.view_files import get_view_reader


def wait(qtbot: Any, condition: Any) -> None:
    qtbot.waitUntil(condition, timeout=PATIENCE_MS)


def ended(dock: Any) -> None:
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> tuple[Path, Run]:
    """A slide, and a run over a part of it."""
    from viewer_pictures import tissue, write_tiff

    folder = tmp_path_factory.mktemp("stored")
    slide = write_tiff(folder / "case.tif", tissue(700, 900))
    run = explain_slide(
        slide,
        load_model(str(model_folder)),
        [SaliencySpec(layer=name, samples=0) for name in ("layer1", "layer2")],
        folder / "case.smoothsal.zarr",
        region=(100, 200, 300, 300),
        progress=False,
    )
    return slide, run


def with_store(stored: tuple[Path, Run], *, slide: bool = True) -> Any:
    viewer = ViewerModel()
    viewer.canvas.size = (200, 300)
    for data, options, kind in read_slides(str(stored[0])) if slide else []:
        viewer.add_layer(Layer.create(data, options, kind))
    for data, options, kind in read_stores(str(stored[1].path))[slide:]:
        viewer.add_layer(Layer.create(data, options, kind))
    return viewer


@pytest.fixture
def dock(stored: tuple[Path, Run], qtbot: Any) -> Iterator[VerdictsDock]:
    dock = VerdictsDock(with_store(stored))
    yield dock
    ended(dock)
    verdicts_path(stored[1].path).unlink(missing_ok=True)


def outlines(viewer: Any) -> Any:
    return next((layer for layer in viewer.layers if is_outlines(layer)), None)


def test_hotspots_are_listed_flown_to_judged_and_there_again(
    dock: VerdictsDock, stored: tuple[Path, Run], qtbot: Any
) -> None:
    run, viewer = stored[1], dock.viewer
    key = list(run.maps)[-1]  # the one on show
    dock.search.click()
    wait(qtbot, lambda: not dock.busy)
    expected = hotspots(run, key)
    assert [place.hotspot for place in dock.table.places] == expected and len(expected) > 1
    assert outlines(viewer).nshapes == len(expected)
    # In micrometres over the tissue, where the map says.
    x, y, w, h = expected[0].box
    path = np.array([outlines(viewer).data_to_world(at) for at in outlines(viewer).data[0]])
    assert path.min(axis=0) == pytest.approx((0.5 * (y - 0.5), 0.5 * (x - 0.5)), abs=0.01)
    dock.table.choose(0)
    middle = (0.5 * (y + h / 2 - 0.5), 0.5 * (x + w / 2 - 0.5))
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle, abs=0.01)
    dock.note.setText("mitoses")
    dock.said["agree"].click()
    dock.table.choose(1)
    assert dock.note.text() == "mitoses"[:0]  # the note is of the place
    dock.said["artefact"].click()
    said = read_verdicts(run).verdicts
    assert [(v.said, v.note, v.map) for v in said] == [
        ("agree", "mitoses", key),
        ("artefact", "", key),
    ]
    assert said[0].mean == expected[0].mean and "2 verdicts kept in case." in dock.status
    # What is judged is not offered again.
    dock.search.click()
    wait(qtbot, lambda: not dock.busy)
    assert len(dock.table.places) == len(expected) and "2 of them judged already" in dock.status
    # Another word, and none.
    dock.table.choose(0)
    dock.said["wrong"].click()
    assert read_verdicts(run).verdicts[0].said == "wrong"
    dock.note.setText("stroma")
    dock.note.returnPressed.emit()
    assert read_verdicts(run).verdicts[0].note == "stroma"
    dock.remove.click()
    assert [v.said for v in read_verdicts(run).verdicts] == ["artefact"]
    # Loaded with its store, with and without its slide; nothing of another map is listed.
    for slide in (True, False):
        again = VerdictsDock(with_store(stored, slide=slide))
        assert [p.verdict for p in again.table.places] == list(read_verdicts(run).verdicts)
        path = np.array(
            [again._outlines.layer.data_to_world(at) for at in outlines(again.viewer).data[0]]
        )
        x, y, _, _ = expected[1].box
        assert path.min(axis=0) == pytest.approx((0.5 * (y - 0.5), 0.5 * (x - 0.5)), abs=0.01)
        again.maps.setCurrentIndex(1)
        assert not again.table.places and not outlines(again.viewer).visible
        ended(again)


def test_places_are_pointed_at_or_drawn(
    dock: VerdictsDock, stored: tuple[Path, Run], qtbot: Any
) -> None:
    run, viewer = stored[1], dock.viewer
    spot = hotspots(run, list(run.maps)[-1])[0]
    inside = spot.geometry.representative_point()
    dock.point.click()
    (press,) = viewer.mouse_drag_callbacks[-1:]
    for event, wanted in (("mouse_move", False), ("mouse_release", True)):
        at = SimpleNamespace(type=event, position=(0.5 * (inside.y - 0.5), 0.5 * (inside.x - 0.5)))
        steps = press(viewer, at)
        next(steps)
        if not wanted:  # a drag moves the view
            next(steps)
            at.type = "mouse_release"
        assert next(steps, None) is None
        assert dock.busy == wanted
    wait(qtbot, lambda: not dock.busy)
    assert [p.hotspot for p in dock.table.places] == [spot]
    assert dock.table.place is dock.table.places[0]
    assert press not in viewer.mouse_drag_callbacks and not dock.point.isChecked()
    # What is drawn is added to that.
    dock.drawn.click()
    assert "draw a place first" in dock.status
    viewer.add_shapes([[[200, 100], [200, 140], [220, 140], [220, 100]]], units=("um", "um"))
    dock.drawn.click()
    wait(qtbot, lambda: not dock.busy)
    assert len(dock.table.places) == 2
    assert dock.table.places[1].hotspot.box == pytest.approx((200.5, 400.5, 80, 40))
    assert dock.table.places[1].hotspot.mean is not None
    dock.remove.click()
    assert len(dock.table.places) == 1


def test_verdicts_are_exported_or_it_is_said_why_not(
    dock: VerdictsDock, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not dock.export.isEnabled()
    dock.search.click()
    wait(qtbot, lambda: not dock.busy)
    dock.said["agree"].click()
    assert "choose a place" in dock.status
    dock.table.choose(0)
    dock.said["agree"].click()
    for name, kind in (("v.geojson", ""), ("v", "Table (*.csv)"), ("nowhere/v.csv", "")):
        chosen = str(tmp_path / name)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, c=chosen, k=kind: (c, k))
        dock.export.click()
    assert "v.csv: it cannot be written" in dock.status
    assert [a.class_name for a in read_annotations(tmp_path / "v.geojson")] == ["agree"]
    assert (tmp_path / "v.csv").read_text().count("\n") == 2


def test_it_survives_what_goes_away(
    dock: VerdictsDock, stored: tuple[Path, Run], qtbot: Any
) -> None:
    viewer = dock.viewer
    dock.search.click()
    wait(qtbot, lambda: not dock.busy)
    # A file that somebody has damaged is neither shown nor overwritten.
    path = verdicts_path(stored[1].path)
    path.write_text("damaged")
    dock.table.choose(0)
    dock.said["agree"].click()
    assert "no file of verdicts" in dock.status and path.read_text() == "damaged"
    path.unlink()
    # The engine dies while it looks.
    engine = dock.session.engine
    wait(qtbot, lambda: engine.ready)
    os.kill(engine.process_id, signal.SIGSTOP)
    dock.search.click()
    assert dock.busy
    os.kill(engine.process_id, signal.SIGKILL)
    wait(qtbot, lambda: not dock.busy)
    assert "computing process ended" in dock.status and not dock.cancel.isEnabled()
    dock.search.click()
    wait(qtbot, lambda: not dock.busy and len(dock.table.places) > 1)
    # The outlines, and then everything, are closed.
    viewer.layers.remove(outlines(viewer))
    dock.table.choose(0)
    dock.said["agree"].click()
    assert outlines(viewer) is not None
    viewer.layers.clear()
    assert not dock.table.places and not dock.search.isEnabled() and "Open a" in dock.status
    dock.judge("agree")
    dock.take_drawn()
    dock.find_hotspots()
    assert not dock.busy


def test_an_empty_viewer_says_what_to_do(viewer: Any, qtbot: Any) -> None:
    dock = VerdictsDock(viewer)
    assert "Open a saliency store" in dock.status and not dock.search.isEnabled()
    ended(dock)


@pytest.fixture
def sharing(ready: SaliencyDock, viewer: Any) -> Iterator[SharedViewDock]:
    dock = SharedViewDock(viewer)
    yield dock
    ended(dock)


def test_another_viewer_is_brought_to_the_same_place_maps_and_settings(
    sharing: SharedViewDock, ready: SaliencyDock, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    ready.explain_slide()
    finish(ready, qtbot)
    ready.form.controls["sigma"].value = 0.35
    ready.colours.opacity.setValue(40)
    ready.colours.way.setCurrentText("spotlight")
    (one,) = [layer for layer in viewer.layers if is_map(layer)]
    one.contrast_limits = (-0.125, 0.125)
    viewer.scene.camera.center = (0.0, 111.0, 222.0)
    viewer.scene.camera.zoom = 3.0
    path = tmp_path / "a.smoothsal-view.json"
    sharing.write(path)
    assert (
        sharing.status.startswith("Saved a.smoothsal-view.json")
        and "centred hook" in sharing.status
    )
    sharing.copy.click()
    link = QGuiApplication.clipboard().text()
    text = path.read_text()
    assert "case" not in text and str(tmp_path) not in text

    def changed() -> None:
        ready.form.restore({})
        ready.colours.way.setCurrentText("tint")
        one.contrast_limits, one.visible, one.opacity = (-9, 9), False, 1.0
        viewer.scene.camera.center = (0.0, 0.0, 0.0)
        viewer.scene.camera.zoom = 0.5

    def as_shared() -> bool:
        return bool(
            viewer.scene.camera.center[-2:] == pytest.approx((111, 222))
            and viewer.scene.camera.zoom == pytest.approx(3.0)
            and tuple(one.contrast_limits) == (-0.125, 0.125)
            and one.visible
            and one.opacity == pytest.approx(0.4)
            and ready.form.spec().sigma == 0.35
            and ready.colours.way.currentText() == "spotlight"
        )

    assert as_shared()
    changed()
    assert not as_shared()
    sharing.read(path)
    assert as_shared() and sharing.status == "This is the place of the view."
    changed()
    sharing.link.setText(link)
    sharing.go.click()
    assert as_shared()
    # In a window of half the size the same is in view.
    viewer.canvas.size = (100, 150)
    sharing.read(path)
    assert viewer.scene.camera.zoom == pytest.approx(1.5)
    # A map that is not open here is named, and what computes it.
    viewer.layers.remove(one)
    sharing.read(path)
    assert "Not open here: layer" in sharing.status and "Explain view" in sharing.status


def test_file_open_brings_the_viewer_there_or_says_why_not(
    sharing: SharedViewDock,
    ready: SaliencyDock,
    viewer: Any,
    slide: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from viewer_pictures import tissue, write_tiff

    from napari_smoothsal.core.errors import AnnotationError

    path = tmp_path / "a.smoothsal-view.json"
    viewer.scene.camera.center = (0.0, 111.0, 222.0)
    sharing.write(path)
    viewer.scene.camera.center = (0.0, 0.0, 0.0)
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    reader = get_view_reader(str(path))
    assert reader is not None and reader(str(path)) == [(None,)]
    assert viewer.scene.camera.center[-2:] == pytest.approx((111, 222))
    # Of another slide: nothing is changed.
    viewer.layers.remove(slide)
    with pytest.raises(AnnotationError, match="no slide is open"):
        reader(str(path))
    other = write_tiff(tmp_path / "other.tif", tissue(700, 900, seed=1))
    ((data, options, _),) = read_slides(str(other))
    viewer.add_image(data, **options)
    viewer.scene.camera.center = (0.0, 1.0, 2.0)
    for go in (lambda: sharing.read(path), sharing.open_link):
        sharing.say("")
        go()
        assert sharing.status
    with pytest.raises(AnnotationError, match="another slide"):
        reader(str(path))
    assert viewer.scene.camera.center[-2:] == (1.0, 2.0)
    # A layer without a file cannot be found by anybody else.
    viewer.layers.clear()
    viewer.add_image(np.zeros((50, 60, 3), np.uint8), rgb=True, name="pasted")
    sharing.copy_link()
    assert "'pasted' was not opened as a slide's file" in sharing.status


def test_settings_of_another_model_are_not_entered(
    sharing: SharedViewDock, ready: SaliencyDock, tmp_path: Path
) -> None:
    path = tmp_path / "a.smoothsal-view.json"
    ready.form.controls["sigma"].value = 0.35
    sharing.write(path)
    path.write_text(path.read_text().replace('"tiny"', '"huge"'))
    ready.form.restore({})
    sharing.read(path)
    assert "of model 'huge', and here 'tiny' is chosen" in sharing.status
    assert ready.form.spec().sigma != 0.35
