"""Cameras that follow each other, and what is offered to be compared; without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from viewer_listening import described

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.viewer.asked import Describe
from napari_smoothsal.viewer.columns_bar import FURTHEST, STEPS, ColumnsBar
from napari_smoothsal.viewer.engine_describing import described as everything
from napari_smoothsal.viewer.linked_views import LinkedViews
from napari_smoothsal.viewer.varied_form import VARIED, VariedForm, usual, values_of

SPEC = SaliencySpec(layer="layer2")


def place(viewer: Any) -> tuple[float, ...]:
    return (*viewer.scene.camera.center, viewer.scene.camera.zoom)


def test_whichever_is_moved_the_others_follow_until_they_are_let_go() -> None:
    viewers = [ViewerModel() for _ in range(3)]
    links = LinkedViews()
    for viewer in viewers:
        links.add(viewer)
    for number, viewer in enumerate(viewers):
        viewer.scene.camera.center = (0.0, 10.0 * number, 5.0)
        viewer.scene.camera.zoom = 1.5 + number
        assert {place(one) for one in viewers} == {(0.0, 10.0 * number, 5.0, 1.5 + number)}
    viewers[0].canvas.size = (100, 200)
    links.look_at(np.array([20.0, 40.0]), np.array([70.0, 60.0]))
    assert {place(one) for one in viewers} == {(0.0, 45.0, 50.0, 2.0)}
    links.clear()
    viewers[1].scene.camera.zoom = 9.0
    assert viewers[0].scene.camera.zoom == viewers[2].scene.camera.zoom == 2.0


def test_one_after_the_other_by_button_and_key(qtbot: Any) -> None:
    bar = ColumnsBar()
    qtbot.addWidget(bar)
    bar.name(["original", "centred hook", "third"])
    shown: list[int | None] = []
    bar.chosen.connect(shown.append)
    bar.blink.click()
    bar.blink.click()
    assert bar.press(Qt.Key.Key_B) and bar.press(Qt.Key.Key_B)
    assert shown == [0, 1, 2, 0]
    bar.ones[1].click()
    bar.press(Qt.Key.Key_Space)
    bar.press(Qt.Key.Key_Space)  # a second press without a release is the same
    bar.release(Qt.Key.Key_Space)
    bar.release(Qt.Key.Key_Space)
    assert shown[4:] == [1, 2, 1]
    for key in (Qt.Key.Key_3, Qt.Key.Key_4, Qt.Key.Key_0):
        assert bar.press(key)
    assert shown[7:] == [2, None] and bar.at is None  # there is no fourth column
    assert not bar.press(Qt.Key.Key_A)
    assert bar.factor == 1
    bar.strength.setValue(STEPS)
    assert bar.factor == pytest.approx(1 / FURTHEST)
    bar.name(["a", "b"])
    assert [button.text() for button in bar.ones] == ["a", "b"]


def test_what_is_offered_can_be_asked_of_the_model(model_folder: Path, qtbot: Any) -> None:
    model, there = described(model_folder), everything(Describe(id=1))
    offered = {
        field: values_of(field, SPEC, model, there, {"/m/other": model})
        for field in VARIED.values()
    }
    assert list(offered["layer"]) == [layer.name for layer in model.layers]
    assert list(offered["target"]) == ["normal", "tumour", "auto"]
    assert "bilinear_surrogate" not in offered["denoising"]  # the model has none
    assert offered["denoising"]["centred_hook"] == "centred hook"
    assert {"demo-classifier", "/m/other", model.model} <= set(offered["model"])
    assert offered["model"]["/m/other"] == "other"
    # Methods of the image have no hidden layer, the others no other.
    assert "rise" not in offered["method"] and "gradient" in offered["method"]
    of_image = values_of("method", SaliencySpec(layer="input", method="rise"), model, there, {})
    assert "rise" in of_image and "gradient" not in of_image
    assert usual("denoising", offered["denoising"], "centred_hook") == ["original", "centred_hook"]
    for field, values in offered.items():
        assert len(usual(field, values, next(iter(values)))) == 2


def test_what_was_checked_stays_checked(qtbot: Any) -> None:
    form = VariedForm()
    qtbot.addWidget(form)
    form.offer({"original": "original", "a": "a", "centred_hook": "c", "b": "b", "d": "d"}, "a")
    assert list(form.columns()) == ["original", "centred_hook"]
    form.check("a", "b", "d")
    assert list(form.columns()) == ["a", "b", "d"]
    form.offer({"a": "a", "b": "b", "e": "e"}, "a")
    assert list(form.columns()) == ["a", "b"]
    form.check("e")
    with pytest.raises(SmoothsalError, match="1 column cannot be compared"):
        form.columns()
