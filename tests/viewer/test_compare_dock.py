"""The Compare dock beside a Saliency dock, with a real engine and canvases."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal.runs import open_run
from napari_smoothsal.viewer.compare_dock import CompareDock
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.saliency_dock import SaliencyDock

pytestmark = pytest.mark.gl


def wait(qtbot: Any, condition: Callable[[], Any]) -> None:
    qtbot.waitUntil(condition, timeout=PATIENCE_MS)


def ended(dock: Any) -> None:
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def comparing(ready: SaliencyDock, viewer: Any) -> Iterator[CompareDock]:
    viewer.scene.camera.zoom = 5.0  # a few tiles
    dock = CompareDock(viewer)
    yield dock
    ended(dock)


def compare(dock: CompareDock, qtbot: Any) -> Any:
    """Click, wait, and hand the window over."""
    dock.compare.click()
    wait(qtbot, lambda: not dock.busy)
    assert dock.status.startswith("Done"), dock.status
    return dock.window_of_columns


def shown_by(column: Any) -> list[int]:
    """The numbers of the maps that are seen in a column."""
    return [number for number, layer in column.maps.items() if layer.visible]


def test_columns_of_one_place_with_one_scale_and_linked_views(
    comparing: CompareDock, viewer: Any, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (list(viewer.layers), viewer.scene.camera.center, viewer.scene.camera.zoom)
    assert list(comparing.form.checked) == ["original", "centred_hook"]
    window = compare(comparing, qtbot)
    found = comparing.found
    assert found is not None and found.complete and found.comparable and len(found.columns) == 2
    for number, (column, told) in enumerate(zip(window.columns, found.columns, strict=True)):
        run = open_run(told.picture.store)
        run_map = run.maps[told.picture.key]
        assert run_map.spec.denoising == ("original", "centred_hook")[number]
        layer = column.maps[number]
        values = run_map.levels[0][: run_map.shape[0], : run_map.shape[1]]
        np.testing.assert_array_equal(layer.data, values)
        assert tuple(layer.scale) == run_map.scale_um
        assert tuple(layer.translate) == run_map.translate_um
        assert layer.contrast_limits == [-found.shared, found.shared]
        # The slide lies under it, with its own pixels.
        assert column.model.layers[0].data is viewer.layers[0].data
        rough = run.tiles[f"tv_{told.picture.key}"].mean()
        assert told.total_variation == pytest.approx(float(rough))
        assert f"{rough:.2f}" in column.foot.text()
        assert comparing.table.item(number, 1).text() == f"{rough:.2f}"
    assert found.columns[0].total_variation > found.columns[1].total_variation
    assert "original" in window.columns[0].name.text()
    assert "centred hook" in window.columns[1].name.text()
    assert "one scale for all columns" in window.legend.text
    # Each has its own scale when that is wished; stronger colours are so in both.
    window.bar.one_scale.click()
    own = [told.picture.limit for told in found.columns]
    limits = [column.maps[n].contrast_limits[1] for n, column in enumerate(window.columns)]
    assert limits == own and own[0] != own[1]
    assert "do not compare" in window.legend.text
    window.bar.strength.setValue(5)
    limits = [column.maps[n].contrast_limits[1] for n, column in enumerate(window.columns)]
    assert limits == pytest.approx([window.bar.factor * limit for limit in own])
    # Pan and zoom are linked.
    window.columns[1].model.scene.camera.center = (0.0, 60.0, 70.0)
    window.columns[1].model.scene.camera.zoom = 3.0
    assert window.columns[0].model.scene.camera.center[-2:] == (60.0, 70.0)
    assert window.columns[0].model.scene.camera.zoom == 3.0
    # A figure of the columns.
    path = tmp_path / "columns.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    comparing.save_figure.click()
    wait(qtbot, lambda: comparing.status == "Saved: columns.png")
    with Image.open(path) as picture:
        assert picture.width > 1000
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path / "x.png"), ""))
    comparing.save_figure.click()
    wait(qtbot, lambda: "could not be written" in comparing.status)
    # The viewer is as it was, while it is open and when it is closed.
    scratch = Path(found.columns[0].picture.store)
    window.close()
    assert comparing.window_of_columns is None and not comparing.save_figure.isEnabled()
    assert not scratch.exists()
    assert (list(viewer.layers), viewer.scene.camera.center, viewer.scene.camera.zoom) == before


def test_one_in_place_of_the_other_by_button_key_and_mouse(
    comparing: CompareDock, qtbot: Any
) -> None:
    window = compare(comparing, qtbot)
    first, second = window.columns
    assert shown_by(first) == [0] and shown_by(second) == [1] and second.isVisible()
    QTest.mouseClick(window.bar.ones[1], Qt.MouseButton.LeftButton)
    assert shown_by(first) == [1] and not second.isVisible()
    assert "centred hook" in first.name.text()
    assert first.maps[1].data is second.maps[1].data  # no second copy
    assert first.maps[1].contrast_limits == second.maps[1].contrast_limits
    QTest.keyClick(window, Qt.Key.Key_B)
    assert shown_by(first) == [0] and "original" in first.name.text()
    QTest.keyPress(window, Qt.Key.Key_Space)
    assert shown_by(first) == [1]
    QTest.keyRelease(window, Qt.Key.Key_Space)
    assert shown_by(first) == [0]
    comparing.blink.click()
    assert shown_by(first) == [1]
    QTest.keyClick(window, Qt.Key.Key_0)
    assert shown_by(first) == [0] and shown_by(second) == [1] and second.isVisible()


def test_layers_fill_in_and_say_that_they_do_not_compare(
    comparing: CompareDock, ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    comparing.form.varied.setCurrentText("layer")
    comparing.form.check("layer1", "layer2", "layer3")
    ready.form.controls["samples"].value = 3
    rounds: list[Any] = []
    comparing._asking.told.connect(lambda _job, answer: rounds.append(answer))
    window = compare(comparing, qtbot)
    assert rounds[0].columns == () and rounds[0].tiles > 0
    assert not window.bar.one_scale.isEnabled()
    limits = [column.maps[n].contrast_limits[1] for n, column in enumerate(window.columns)]
    assert limits == [told.picture.limit for told in comparing.found.columns]
    steps = [tuple(column.maps[n].scale) for n, column in enumerate(window.columns)]
    assert steps == [(2.0, 2.0), (4.0, 4.0), (8.0, 8.0)]
    assert "standard error" in window.columns[0].foot.text()
    # As many columns of another place and kind: the same window.
    comparing.form.varied.setCurrentText("denoising")
    comparing.form.check("original", "backward_hook", "centred_hook")
    viewer.scene.camera.center = (0.0, 200.0, 300.0)
    assert compare(comparing, qtbot) is window
    assert window.bar.one_scale.isEnabled()
    assert window.columns[1].model.scene.camera.center[-2:] == pytest.approx(
        (200.0, 300.0), abs=1.0
    )


def test_models_come_one_after_the_other(
    comparing: CompareDock, ready: SaliencyDock, model_folder: Path, tmp_path: Path, qtbot: Any
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in model_folder.iterdir():
        text = file.read_bytes().replace(b'"tiny"', b'"other"')
        (other / file.name).write_bytes(text)
    ready.slides.add_model(str(other))
    wait(qtbot, lambda: bool(ready.form.controls["layer"].value))
    comparing.form.varied.setCurrentText("model")
    comparing.form.check(str(model_folder), str(other))
    window = compare(comparing, qtbot)
    found = comparing.found
    assert [told.picture.model for told in found.columns] == ["tiny", "other"]
    assert found.comparable  # the same weights at the same resolution
    np.testing.assert_array_equal(window.columns[0].maps[0].data, window.columns[1].maps[1].data)


def test_what_cannot_be_compared_is_said(viewer: Any, qtbot: Any) -> None:
    dock = CompareDock(viewer)  # without a Saliency dock, in an empty viewer
    dock.compare.click()
    assert "Saliency dock" in dock.status and not dock.busy
    dock.write_figure(Path("nowhere.png"))
    assert "compare something first" in dock.status.lower()
    ended(dock)


def test_it_survives_whatever_happens(
    comparing: CompareDock, ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    comparing.form.check("original")
    comparing.compare.click()
    assert "choose 2 to 4" in comparing.status and not comparing.busy
    comparing.form.check("original", "centred_hook")
    window = compare(comparing, qtbot)
    # Called off: what there is stays.
    ready.form.controls["samples"].value = 400
    comparing.compare.click()
    wait(qtbot, lambda: bool(comparing.found and comparing.found.columns))
    comparing.cancel.click()
    wait(qtbot, lambda: not comparing.busy)
    assert comparing.status == "Stopped." and shown_by(window.columns[0]) == [0]
    # The engine dies.
    comparing.compare.click()
    wait(qtbot, lambda: bool(comparing.found and comparing.found.columns))
    os.kill(comparing.session.engine.process_id, signal.SIGKILL)
    wait(qtbot, lambda: not comparing.busy)
    assert "computing process ended" in comparing.status and not comparing.progress.isVisible()
    ready.form.controls["samples"].value = 0
    wait(qtbot, lambda: comparing.session.engine.ready)
    compare(comparing, qtbot)
    # The window is closed while it is computed.
    ready.form.controls["samples"].value = 400
    comparing.compare.click()
    wait(qtbot, lambda: bool(comparing.found and comparing.found.columns))
    comparing.window_of_columns.close()
    wait(qtbot, lambda: not comparing.busy)
    assert comparing.window_of_columns is None
    # The slide is closed, the columns of it are open.
    ready.form.controls["samples"].value = 0
    window = compare(comparing, qtbot)
    viewer.layers.remove(slide)
    window.bar.show_next()
    comparing.compare.click()
    assert comparing.status.startswith("Open a slide first")
    QApplication.processEvents()


@pytest.mark.slow
def test_live_follows_the_view_and_leaves_maps_alone(
    comparing: CompareDock, ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    ready.explain_view()
    finish(ready, qtbot)
    compare(comparing, qtbot)
    first = comparing.found
    comparing.live.click()
    viewer.scene.camera.center = (0.0, 180.0, 260.0)
    wait(qtbot, lambda: comparing.found not in (None, first) and not comparing.busy)
    pictures = [found.columns[0].picture.translate_um for found in (first, comparing.found)]
    assert pictures[0] != pictures[1]
    assert [x.visible for x in viewer.layers if is_map(x)] == [True]
