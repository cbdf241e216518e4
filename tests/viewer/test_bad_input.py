"""Bad input in any field of the Saliency dock: the field is marked, it is said why, it stays."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from napari.layers import Image
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtGui import QFocusEvent
from viewer_listening import PATIENCE_MS, finish
from viewer_pictures import tissue

from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.spec_form import SpecForm

BAD: list[tuple[str, Any, str]] = [
    ("samples", "-3", "whole number from 0"),
    ("samples", "many", "whole number from 0"),
    ("samples", "2.5", "whole number from 0"),
    ("sigma", -0.5, "greater than or equal to 0"),
    ("sigma", 11.0, "less than or equal to 10"),
    ("max_standard_error", 0.0, "greater than 0"),
    ("max_standard_error", 1.5, "less than or equal to 1"),
    ("seed", -1, "greater than or equal to 0"),
    ("jitter", True, "needs samples to shift"),
]
BAD_OPTIONS = [
    ("denoising", "centred_hook", "strength", 1.5, "less than or equal to 1"),
    ("denoising", "centred_hook", "strength", -0.1, "greater than or equal to 0"),
    ("denoising", "gaussian_blur", "sigma", -1.0, "greater than"),
    ("method", "rise", "masks", 0, "greater than or equal to 2"),
    ("method", "rise", "p1", 1.0, "less than 1"),
    ("method", "lime", "size_px", 1, "greater than or equal to 2"),
    ("method", "integrated_gradients", "steps", 0, "greater than or equal to 1"),
]


def assert_told(form: SpecForm, control: Any, value: Any, why: str) -> None:
    """Enter a value that is wrong, and then the right one again."""
    good = control.value
    control.value = value
    assert form.spec() is None
    assert "border" in control.native.styleSheet()
    assert why in form.problem
    assert control.value == value
    control.value = good
    assert form.spec() is not None
    assert control.native.styleSheet() == "" and form.problem == ""


@pytest.mark.parametrize(("name", "value", "why"), BAD)
def test_of_a_spec(form: SpecForm, name: str, value: Any, why: str) -> None:
    assert_told(form, form.controls[name], value, why)


def test_all_fields_that_can_be_wrong_are_tried(form: SpecForm) -> None:
    tried = {name for name, _, _ in BAD}
    choices = {n for n, c in form.controls.items() if hasattr(c, "choices")}
    only_with_another = {"channel"}
    assert tried | choices | only_with_another == set(form.controls)


def test_of_a_channel(form: SpecForm) -> None:
    form.controls["channel"].value = "3"
    form.controls["reduction"].value = "channel"
    assert_told(form, form.controls["channel"], "-3", "greater than or equal to 0")
    assert_told(form, form.controls["channel"], "many", "valid integer")


@pytest.mark.parametrize(
    ("of", "name", "value", "why"),
    [
        ("tiling", "tile_px", "4", "greater than or equal to 8"),
        ("tiling", "overlap", "0.9", "less than or equal to 0.75"),
        ("tiling", "halo", "wide", "valid integer"),
        ("tiling", "min_tissue", "2", "less than or equal to 1"),
        ("tiling", "tissue", "", "valid string"),
        ("compute", "device", "", "valid string"),
        ("compute", "batch_size", "0", "1 or more"),
        ("compute", "budget_bytes", "10", "greater than or equal to 1048576"),
        ("compute", "readers", "65", "less than or equal to 64"),
    ],
)
def test_of_tiles_and_computing(form: SpecForm, of: str, name: str, value: str, why: str) -> None:
    settings = getattr(form, of)
    control = settings.controls[name]
    good = control.value
    control.value = value
    assert settings.settings() is None and why in settings.problem
    assert "border" in control.native.styleSheet() and control.value == value
    control.value = good
    assert settings.settings() is not None and settings.problem == ""


@pytest.mark.parametrize(("where", "of", "name", "value", "why"), BAD_OPTIONS)
def test_of_an_option(form: SpecForm, where: str, of: str, name: str, value: Any, why: str) -> None:
    form.controls[where].value = of
    assert_told(form, form.options[f"{where}_options"].controls[name], value, why)


def test_both_fields_that_do_not_go_together_are_marked(form: SpecForm) -> None:
    form.controls["samples"].value = "auto"
    form.controls["aggregate"].value = "variance"
    for name in ("samples", "aggregate"):
        assert "border" in form.controls[name].native.styleSheet()
    assert form.controls["sigma"].native.styleSheet() == ""
    form.controls["aggregate"].value = "mean"
    assert form.spec() is not None
    assert form.controls["samples"].native.styleSheet() == ""


def test_of_the_slide_and_the_model(
    ready: SaliencyDock, viewer: Any, tmp_path: Path, model_folder: Path, qtbot: Any
) -> None:
    slides = ready.slides
    assert slides.problem == ""
    # A folder that is not there.
    slides._folder.setText(str(tmp_path / "nowhere"))
    assert "border" in slides._folder.styleSheet() and "nowhere" in slides.problem
    ready.explain_slide()
    assert not ready.busy and "nowhere" in ready.bar.status
    assert slides.folder == str(tmp_path / "nowhere")

    # Made meanwhile: it is looked at again when the field is left, clicked, or when it is used.
    def left() -> None:
        slides._folder.editingFinished.emit()

    def clicked() -> None:
        QCoreApplication.sendEvent(slides._folder, QFocusEvent(QEvent.Type.FocusIn))

    for look in (left, clicked, ready.explain_slide):
        (tmp_path / "nowhere").mkdir()
        look()
        assert slides._folder.styleSheet() == "" and slides.problem == ""
        ready.cancel()
        finish(ready, qtbot)
        shutil.rmtree(tmp_path / "nowhere")
        look()
        assert "border" in slides._folder.styleSheet() and "nowhere" in slides.problem
    slides._folder.setText(str(tmp_path))
    assert slides._folder.styleSheet() == "" and slides.problem == ""
    # A layer that does not say its resolution.
    other = viewer.add_layer(Image(tissue(100, 100), rgb=True, name="other"))
    slides._slide.value = str(other.unique_id)
    assert "border" in slides._mpp.native.styleSheet()
    assert "how many micrometres" in slides.problem
    slides._mpp.value = 0.5
    assert slides._mpp.native.styleSheet() == "" and slides.problem == ""
    slides._mpp.value = 0.0
    viewer.layers.remove(other)
    assert slides.problem == ""
    # A folder without a model.
    (tmp_path / "empty").mkdir()
    slides.add_model(str(tmp_path / "empty"))
    qtbot.waitUntil(lambda: "card.json" in slides.problem, timeout=PATIENCE_MS)
    assert "border" in slides.models.box.native.styleSheet()
    assert slides.model == str(tmp_path / "empty")
    slides.model = str(model_folder)
    assert slides.models.box.native.styleSheet() == "" and slides.problem == ""


ENGINES: list[tuple[str, str, Any, Any, str, bool]] = [
    ("deeplift", "baseline", "blue", "black", "no baseline named 'blue'", True),
    ("rise", "fill", "nothing", "white", "no fill named 'nothing'", True),
    ("rise", "cells", 900, 3, "900 cells do not fit", False),
    ("lime", "size_px", 900, 32, "Superpixels of 900 px do not part a tile", False),
    ("occlusion", "size_px", 900, 32, "squares of 900 px do not fit", False),
]
"""Method, option, what cannot work and what can, what is said, whether the control is known."""


def test_options_that_only_the_engine_knows_are_told(ready: SaliencyDock, qtbot: Any) -> None:
    for method, name, value, good, why, marked in ENGINES:
        ready.form.controls["method"].value = method
        controls = ready.form.options["method_options"].controls
        for few in {"masks", "samples"} & set(controls):
            controls[few].value = 8
        controls[name].value = value
        ready.explain_view()
        finish(ready, qtbot)
        assert why in ready.bar.status and controls[name].value == value
        assert ("border" in controls[name].native.styleSheet()) == marked
        controls[name].value = good
        assert controls[name].native.styleSheet() == ""
        ready.explain_view()
        finish(ready, qtbot)
        assert ready.bar.status.startswith("Done.")
