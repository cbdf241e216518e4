"""The Shared view dock: somebody else is brought to the same place, maps and settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtGui import QGuiApplication
from viewer_listening import finish
from viewer_pictures import tissue, write_tiff

from napari_smoothsal.core.errors import AnnotationError
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.readers import read_slides
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.shared_view_dock import SharedViewDock
from napari_smoothsal.viewer.view_files import get_view_reader


def ended(dock: Any) -> None:
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


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
