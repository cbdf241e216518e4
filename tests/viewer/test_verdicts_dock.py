"""The Verdicts dock on stores, with a real engine."""

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
from qtpy.QtWidgets import QFileDialog
from viewer_listening import PATIENCE_MS

from napari_smoothsal import SaliencySpec, explain_slide, load_model
from napari_smoothsal.annotations import read_annotations
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.hotspots import hotspots
from napari_smoothsal.runs.verdicts import read_verdicts, verdicts_path
from napari_smoothsal.viewer.readers import read_slides, read_stores
from napari_smoothsal.viewer.verdict_outlines import is_outlines
from napari_smoothsal.viewer.verdicts_dock import VerdictsDock


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
def judging(stored: tuple[Path, Run], qtbot: Any) -> Iterator[VerdictsDock]:
    dock = VerdictsDock(with_store(stored))
    yield dock
    ended(dock)
    verdicts_path(stored[1].path).unlink(missing_ok=True)


def outlines(viewer: Any) -> Any:
    return next((layer for layer in viewer.layers if is_outlines(layer)), None)


def test_hotspots_are_listed_flown_to_judged_and_there_again(
    judging: VerdictsDock, stored: tuple[Path, Run], qtbot: Any
) -> None:
    dock = judging
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
    judging: VerdictsDock, stored: tuple[Path, Run], qtbot: Any
) -> None:
    dock = judging
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
    assert "Draw a place first" in dock.status
    viewer.add_shapes([[[200, 100], [200, 140], [220, 140], [220, 100]]], units=("um", "um"))
    dock.drawn.click()
    wait(qtbot, lambda: not dock.busy)
    assert len(dock.table.places) == 2
    assert dock.table.places[1].hotspot.box == pytest.approx((200.5, 400.5, 80, 40))
    assert dock.table.places[1].hotspot.mean is not None
    dock.remove.click()
    assert len(dock.table.places) == 1


def test_verdicts_are_exported_or_it_is_said_why_not(
    judging: VerdictsDock, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = judging
    assert not dock.export.isEnabled()
    dock.search.click()
    wait(qtbot, lambda: not dock.busy)
    dock.said["agree"].click()
    assert "Choose a place" in dock.status
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
    judging: VerdictsDock, stored: tuple[Path, Run], qtbot: Any
) -> None:
    dock = judging
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
