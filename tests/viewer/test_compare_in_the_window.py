"""The Compare dock in a real window, as napari hands it its viewer; nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from viewer_listening import PATIENCE_MS

pytestmark = pytest.mark.gl


def test_maps_are_drawn_over_the_slide_and_nothing_is_left(
    make_napari_viewer_proxy: Callable[..., Any], tiff_slide: Path, model_folder: Path, qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(900, 700)
    viewer.open(tiff_slide, plugin="napari-smoothsal")
    saliency, dock = (
        viewer.window.add_plugin_dock_widget("napari-smoothsal", name)[1]
        for name in ("Saliency", "Compare")
    )
    saliency.slides.add_model(str(model_folder))
    qtbot.waitUntil(lambda: bool(saliency.form.controls["layer"].value), timeout=PATIENCE_MS)
    saliency.form.controls["samples"].value = 0
    viewer.scene.camera.center = (0.0, 150.0, 200.0)
    viewer.scene.camera.zoom = 8.0
    dock.compare.click()
    qtbot.waitUntil(lambda: not dock.busy, timeout=PATIENCE_MS)
    assert dock.status.startswith("Done")
    window = dock.window_of_columns

    def drawn(column: Any) -> np.ndarray[Any, Any]:
        for _ in range(10):
            QApplication.processEvents()
        image = column.canvas.grabFramebuffer()
        image = image.convertToFormat(image.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
        rows = rows.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
        return rows.reshape(image.height(), image.width(), 3).astype(int)

    original, centred = (drawn(column) for column in window.columns)
    assert original.shape == centred.shape
    window.bar.show_one(1)
    assert [column.isVisible() for column in window.columns] == [True, False]
    window.bar.show_one(None)
    with_map = drawn(window.columns[0])
    window.columns[0].forget_maps()
    slide = drawn(window.columns[0])
    # The slide is seen, and more than the slide.
    assert np.ptp(slide, axis=2).max() > 40
    assert (np.abs(with_map - slide).max(axis=2) > 12).mean() > 0.02
    assert (np.abs(original - centred).max(axis=2) > 12).mean() > 0.01
    # With the dock its window goes, and both canvases: napari's own fixture looks for them.
    viewer.window.remove_dock_widget(dock)
    assert not window.isVisible()
    viewer.window.remove_dock_widget(saliency)
