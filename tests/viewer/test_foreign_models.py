"""Models of other projects in the Saliency dock: what their files do not say is asked for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from qtpy.QtCore import QCoreApplication, QEvent
from timm.models import save_for_hf
from typer.testing import CliRunner
from viewer_listening import PATIENCE_MS, described, finish

from napari_smoothsal.cli import registered
from napari_smoothsal.models.formats import FORMATS
from napari_smoothsal.runs import Run, open_run
from napari_smoothsal.slides.sample import sample_slide_path
from napari_smoothsal.viewer.model_rows import ModelRows
from napari_smoothsal.viewer.model_words import MOST_NOTES, about, said_of
from napari_smoothsal.viewer.predictions_dock import PredictionsDock
from napari_smoothsal.viewer.readers import read_slides
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.total_variation_dock import TotalVariationDock

TILE_PX, LAYER, STRIDE = 64, "layer2", 8


def save(folder: Path, classes: int = 2) -> Path:
    """A network with random weights as timm saves it: it says no resolution, and no classes."""
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=classes)
    settings = {"input_size": (3, TILE_PX, TILE_PX), "license": "cc-by-4.0"}
    save_for_hf(network, folder, model_config={"pretrained_cfg": settings}, safe_serialization=True)
    # timm writes the preset's own values over those that it is given.
    written = json.loads((folder / "config.json").read_text())
    written["pretrained_cfg"] |= settings
    (folder / "config.json").write_text(json.dumps(written))
    return folder


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "of-timm")


def awaits(dock: SaliencyDock, qtbot: Any) -> None:
    """Until the chosen model is described."""
    qtbot.waitUntil(lambda: bool(dock.form.controls["layer"].value), timeout=PATIENCE_MS)


@pytest.fixture
def foreign(dock: SaliencyDock, timm_folder: Path, slide: Any, qtbot: Any) -> SaliencyDock:
    """A dock with that model, on a slide of 900 x 700 px at 0.5 um."""
    dock.slides.add_model(str(timm_folder))
    awaits(dock, qtbot)
    dock.form.controls["layer"].value = LAYER
    dock.form.controls["samples"].value = 0
    return dock


def asked_for(models: ModelRows) -> bool:
    return not models.mpp.native.isHidden()


def marked(control: Any) -> bool:
    return "border" in control.native.styleSheet()


def test_the_resolution_is_asked_for_and_places_the_map(
    foreign: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    models = foreign.slides.models
    viewer.layers.remove(slide)
    with sample_slide_path() as path:
        ((data, options, _),) = read_slides(str(path))
        sample = viewer.add_image(data, **options)
        viewer.scene.camera.center = (0.0, 1290.0, 1270.0)
        viewer.scene.camera.zoom = 2.0
        assert asked_for(models) and marked(models.mpp)
        assert "model um per px" in foreign.slides.problem
        assert "1/8 of the model's pixels" in foreign.form.controls["layer"].native.currentText()
        foreign.explain_view()
        assert not foreign.busy and list(viewer.layers) == [sample]
        assert "does not say how many micrometres" in foreign.bar.status
        foreign.bar.copy_python.trigger()
        assert "does not say how many micrometres" in foreign.bar.status

        models.mpp.value = 0.5
        assert foreign.slides.problem == "" and not marked(models.mpp)
        assert "4.0 um per pixel" in foreign.form.controls["layer"].native.currentText()
        foreign.explain_view()
        finish(foreign, qtbot)
        assert foreign.bar.status.startswith("Done.")
        (_, layer) = viewer.layers
        assert tuple(layer.scale) == (STRIDE * 0.5, STRIDE * 0.5)
        # The view is 150 x 100 um; all of it is tissue, and all of it has a map.
        np.testing.assert_allclose(layer.extent.world, [(1240, 1195), (1340, 1345)], atol=4.5)
        assert np.isfinite(np.asarray(layer.data)).all()


def test_another_resolution_is_another_map(
    foreign: SaliencyDock, viewer: Any, tiff_slide: Path, qtbot: Any
) -> None:
    models = foreign.slides.models
    stores: list[Path] = []
    boxes = []
    for mpp in (0.5, 1.0):
        models.mpp.value = mpp
        foreign.explain_slide()
        finish(foreign, qtbot)
        assert foreign.bar.status.startswith("Done."), foreign.bar.status
        (new,) = set(tiff_slide.parent.glob("*.smoothsal.zarr")) - set(stores)
        stores.append(new)
        run = open_run(new)
        assert run.provenance["card"]["input_mpp"] == mpp
        boxes.append(float(run.tiles["w_px"].iloc[0]))
    assert boxes[1] == 2 * boxes[0]
    assert len({layer.name for layer in viewer.layers}) == len(viewer.layers)


def test_what_is_shown_is_told_to_be_of_another_resolution(
    foreign: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    foreign.slides.models.mpp.value = 0.5
    key = foreign.session.choice.key(viewer)  # by which Live knows what is new
    foreign.explain_view()
    finish(foreign, qtbot)
    layer = viewer.layers[1]
    foreign.slides.models.mpp.value = 0.6
    assert foreign.session.choice.key(viewer) != key
    qtbot.waitUntil(lambda: "earlier settings" in layer.name, timeout=PATIENCE_MS)
    foreign.slides.models.mpp.value = 0.5
    assert foreign.session.choice.key(viewer) == key
    qtbot.waitUntil(lambda: "earlier settings" not in layer.name, timeout=PATIENCE_MS)


@pytest.fixture
def beside(foreign: SaliencyDock, viewer: Any) -> Iterator[list[Any]]:
    docks = [TotalVariationDock(viewer), PredictionsDock(viewer)]
    yield docks
    for dock in docks:
        dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_the_docks_beside_it_ask_and_measure_at_it_too(
    foreign: SaliencyDock, beside: list[Any], qtbot: Any
) -> None:
    for dock in beside:
        dock.ask_view()
        assert not dock.busy and "does not say how many micrometres" in dock.status
    tiles = {}
    for mpp in (0.5, 1.0):
        foreign.slides.models.mpp.value = mpp
        for dock in beside:
            dock.ask_view()
            qtbot.waitUntil(lambda dock=dock: not dock.busy, timeout=PATIENCE_MS)
        assert "tiles" in beside[0].status and "tiles" in beside[1].status
        tiles[mpp] = int(beside[1].status.split()[0])
    assert tiles[1.0] < tiles[0.5]  # a tile shows four times as much


def test_a_tile_is_shown_as_it_is_seen(foreign: SaliencyDock, viewer: Any, qtbot: Any) -> None:
    foreign.slides.models.mpp.value = 1.0
    foreign.show_input()
    finish(foreign, qtbot)
    assert "at 1 um per pixel" in foreign.bar.status
    assert tuple(viewer.layers[-1].scale) == (1.0, 1.0)


def maps_of(store: Path) -> tuple[Run, Any]:
    run = open_run(store)
    (shown,) = run.maps.values()
    return run, np.asarray(shown.levels[0])


def test_what_is_copied_computes_the_same_map(
    foreign: SaliencyDock,
    tiff_slide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    from qtpy.QtGui import QGuiApplication

    foreign.slides.models.mpp.value = 1.0
    foreign.explain_slide()
    finish(foreign, qtbot)
    (store,) = tiff_slide.parent.glob("*.smoothsal.zarr")
    _, expected = maps_of(store)
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    foreign.bar.copy_python.trigger()
    script = clipboard.text()
    assert 'card={"input_mpp": 1.0})' in script
    foreign.bar.copy_command.trigger()
    words = shlex.split(clipboard.text())
    assert words[words.index("--card") + 1] == "input_mpp=1.0"

    def same(folder: Path) -> None:
        run, values = maps_of(folder / "maps.smoothsal.zarr")
        assert run.provenance["card"]["input_mpp"] == 1.0
        np.testing.assert_allclose(values, expected, atol=1e-3 * np.nanmax(np.abs(expected)))

    def of_python() -> None:
        exec(compile(script, "copied", "exec"), {})

    def of_command() -> None:
        result = CliRunner().invoke(registered(), words[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    for done in (of_python, of_command):
        folder = tmp_path / done.__name__
        folder.mkdir()
        monkeypatch.chdir(folder)
        done()
        same(folder)


def test_it_is_remembered_for_the_model_that_it_was_given_for(
    foreign: SaliencyDock, model_folder: Path, timm_folder: Path, viewer: Any, qtbot: Any
) -> None:
    models = foreign.slides.models
    models.mpp.value = 0.5
    foreign.slides.add_model(str(model_folder))
    assert not asked_for(models)  # nor while it is loaded
    awaits(foreign, qtbot)
    assert not asked_for(models) and foreign.slides.problem == ""
    assert foreign.session.choice.now().model.source == (str(model_folder), None)
    foreign.slides.model = str(timm_folder)
    awaits(foreign, qtbot)
    assert asked_for(models) and models.mpp.value == 0.5 and foreign.slides.problem == ""
    foreign.explain_view()
    finish(foreign, qtbot)
    again = SaliencyDock(viewer)
    qtbot.addWidget(again)
    awaits(again, qtbot)
    assert again.slides.model == str(timm_folder)
    assert again.session.choice.now().model.source == (str(timm_folder), 0.5)
    again.deleteLater()


@pytest.mark.parametrize("kept", [None, [], {"a": -1, "b": "x", "c": None, "d": 1e9}, "text"])
def test_what_was_not_remembered_by_us_is_passed_over(kept: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QWidget

    parent = QWidget()
    qtbot.addWidget(parent)
    rows = ModelRows(parent)
    rows.restore(kept)
    assert rows.resolutions == {}


def test_a_resolution_that_cannot_work_is_told_and_stays(
    foreign: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    models = foreign.slides.models
    models.mpp.value = 0.1  # finer than the slide
    foreign.explain_view()
    finish(foreign, qtbot)
    assert "5 times coarser than the 0.1 that the model wants" in foreign.bar.status
    assert models.mpp.value == pytest.approx(0.1) and len(viewer.layers) == 1
    models.mpp.value = 0.0
    assert marked(models.mpp) and models.resolutions == {}
    foreign.explain_slide()
    assert not foreign.busy and "does not say how many micrometres" in foreign.bar.status
    models.mpp.value = 0.2425  # as scanners have them
    assert models.mpp.value == 0.2425
    with pytest.raises(ValueError, match=r"-0\.5"):
        models.mpp.value = -0.5


def torchscript_only(folder: Path) -> None:
    save(folder)
    (folder / "model.safetensors").rename(folder / "torchscript_model.pt")


def pictures(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")


def broken(folder: Path) -> None:
    save(folder)
    (folder / "config.json").write_text('{"architecture": "resnet10t", "pretrained_cfg":')


WRONG = {
    "an encoder": (lambda folder: save(folder, classes=0), "encoder"),
    "TorchScript": (torchscript_only, "TorchScript"),
    "pictures": (pictures, "WSInfer"),
    "broken JSON": (broken, "config.json"),
}


def test_a_folder_that_cannot_be_used_is_marked_where_it_is_chosen(
    foreign: SaliencyDock, tmp_path: Path, timm_folder: Path, qtbot: Any
) -> None:
    models = foreign.slides.models
    models.mpp.value = 0.5
    for name, (make, why) in WRONG.items():
        make(tmp_path / name)
        foreign.slides.add_model(str(tmp_path / name))
        qtbot.waitUntil(lambda: marked(models.box), timeout=PATIENCE_MS)
        assert why in foreign.slides.problem and why in foreign.bar.status, name
        assert not asked_for(models)
        foreign.explain_view()
        assert not foreign.busy
        foreign.slides.model = str(timm_folder)
        assert not marked(models.box) and foreign.slides.problem == ""
        awaits(foreign, qtbot)


def test_it_is_said_what_a_model_is(foreign: SaliencyDock) -> None:
    assert foreign.bar.status == (
        "Model of-timm is ready. Licence: cc-by-4.0 (by timm's configuration: of these or of the "
        "weights before). The names of its classes are not known: the file does not hold them."
    )
    models = foreign.slides.models
    said = (
        "of-timm",
        "one decision per tile",
        "class 0, class 1",
        "not known; enter it",
        "64 x 64",
    )
    for words in (*said, "cc-by-4.0", "names of its classes are not known"):
        assert words in models.box.tooltip
    models.mpp.value = 0.5
    assert "0.5 um per pixel, as entered here" in models.box.tooltip
    # Whichever folders there are is said where one is chosen.
    for one in FORMATS.values():
        assert one.says.replace("'", "&#x27;") in models.box.tooltip


def test_long_notes_are_in_the_tooltip_and_no_text_is_markup(model_folder: Path) -> None:
    model = described(model_folder)
    assert said_of(model) == "Model tiny is ready."
    notes = "It was <b>never</b> tried. " * 40
    told = model.model_copy(
        update={
            "notes": notes,
            "intended_use": "Tests.",
            "classes": tuple(f"class {i}" for i in range(1000)),
        }
    )
    assert len(notes) > MOST_NOTES
    assert said_of(told) == "Tests. Point at its name for its notes."
    tooltip = about(told)
    assert "<b>never" not in tooltip and "&lt;b&gt;never&lt;/b&gt;" in tooltip
    assert "class 11 and 988 more" in tooltip
