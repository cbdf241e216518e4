"""The Total variation and the Predictions dock beside a Saliency dock, with a real engine."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Layer
from PIL import Image
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtWidgets import QFileDialog
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal import (
    SaliencySpec,
    explain_slide,
    load_model,
)
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.denoise.gaussian_blur import blurred
from napari_smoothsal.viewer.field_of_view import field_of_view
from napari_smoothsal.viewer.map_layer import belongs_to_map, is_map
from napari_smoothsal.viewer.predictions_dock import PredictionsDock
from napari_smoothsal.viewer.readers import read_slides, read_stores
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.tile_rows import tile_rows
from napari_smoothsal.viewer.tile_table import COLUMNS
from napari_smoothsal.viewer.total_variation_dock import COMPARED, TotalVariationDock


def wait(qtbot: Any, condition: Any) -> None:
    qtbot.waitUntil(condition, timeout=PATIENCE_MS)


def ended(dock: Any) -> None:
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def roughness(ready: SaliencyDock, viewer: Any) -> Iterator[TotalVariationDock]:
    dock = TotalVariationDock(viewer)
    yield dock
    ended(dock)


@pytest.fixture
def predictions(ready: SaliencyDock, viewer: Any) -> Iterator[PredictionsDock]:
    dock = PredictionsDock(viewer)
    yield dock
    ended(dock)


def test_roughness_of_the_view_by_layer_and_denoising(
    roughness: TotalVariationDock, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    assert not roughness.save_table.isEnabled()
    roughness.view.click()
    wait(qtbot, lambda: roughness.found is not None and roughness.found.complete)
    found = roughness.found
    layers = ["relu", "layer1", "layer2", "layer3"]
    assert list(found.noise) == layers
    denoisings = [name for name in COMPARED if name != "bilinear_surrogate"]  # it has none
    assert {(r.layer, r.denoising) for r in found.rows} == {
        (layer, denoising) for layer in layers for denoising in denoisings
    }
    mean = {(r.layer, r.denoising): r.mean for r in found.rows}
    for layer in layers:
        assert mean[layer, "centred_hook"] < mean[layer, "original"]
        assert found.blurred_noise[layer] < found.noise[layer]
    noise = torch.randn((1, 8, 16, 16), generator=torch.Generator().manual_seed(0))
    assert found.noise["layer1"] == pytest.approx(float(total_variation(noise)[0]))
    assert found.blurred_noise["layer1"] == pytest.approx(
        float(total_variation(blurred(noise, 1.0))[0])
    )
    assert "9 tiles" in roughness.status
    assert roughness.table.rowCount() == 4 and roughness.table.columnCount() == 4
    assert roughness.table.item(0, 1).text().startswith(f"{mean['layer1', 'original']:.2f} ")
    roughness.write_table(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 and float(rows[0]["tv_mean"]) == found.rows[0].mean
    roughness.write_picture(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        colours = np.asarray(picture.convert("RGB"))
        assert len(np.unique(colours[: roughness.plot.height()].reshape(-1, 3), axis=0)) > 5
        # And the line that it is for research only.
        assert len(np.unique(colours[roughness.plot.height() :].reshape(-1, 3), axis=0)) > 2
    # Of the slide: more tiles.
    roughness.slide.click()
    wait(qtbot, lambda: roughness.found.complete and not roughness.busy)
    assert roughness.found.of == 48


def test_roughness_is_of_whole_layers_whichever_channel_is_shown(
    roughness: TotalVariationDock, ready: SaliencyDock, qtbot: Any
) -> None:
    found = []
    for reduction in ("sum", "channel"):
        ready.form.controls["layer"].value = "layer3"
        ready.form.controls["reduction"].value = reduction
        ready.form.controls["channel"].value = 12  # more than the early layers have
        roughness.view.click()
        wait(qtbot, lambda: not roughness.busy and roughness.found is not None)
        found.append(roughness.found)
    assert ready.form.spec().channel == 12
    assert found[0] is not found[1] and found[0].rows == found[1].rows


def test_live_roughness_and_live_maps_do_not_end_each_other(
    roughness: TotalVariationDock, ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    roughness.live.setChecked(True)
    ready.bar.live.setChecked(True)
    viewer.scene.camera.center = (0.0, 150.0, 220.0)
    wait(qtbot, lambda: len(viewer.layers) == 2 and not ready.busy)
    wait(qtbot, lambda: roughness.found is not None and roughness.found.complete)
    assert ready.bar.status.startswith("Done.")


def test_predictions_of_the_view(
    predictions: PredictionsDock, ready: SaliencyDock, qtbot: Any
) -> None:
    predictions.predict.click()
    wait(qtbot, lambda: "tiles:" in predictions.status)
    assert "centred hook leaves the predictions as they are" in predictions.difference
    ready.form.controls["denoising"].value = "forward_hook"
    predictions.live.setChecked(True)
    wait(qtbot, lambda: "another network" in predictions.difference)
    assert "x100" in predictions.difference


def test_tiles_are_listed_sorted_and_flown_to(
    predictions: PredictionsDock, ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.explain_slide()
    finish(ready, qtbot)
    model = predictions.tiles.model()
    assert model.rowCount() > 40
    values = [predictions.tiles.row_at(i).saliency for i in range(model.rowCount())]
    assert values == sorted(values, reverse=True)
    predictions.tiles.step(1)
    first = predictions.tiles.row_at(0)
    x, y, w, h = field_of_view(viewer, slide)
    left, top, width, height = first.box
    assert x <= max(0, left) and x + w >= min(900, left + width)
    assert y <= max(0, top) and y + h >= min(700, top + height)
    predictions.tiles.step(-1)
    assert predictions.tiles.currentIndex().row() == model.rowCount() - 1
    # As a layer, each tile's cell lies around its middle and is named.
    predictions.as_layer.click()
    shown = viewer.layers[-1]
    assert shown.name == f"predictions of {slide.name}"
    for row in (first, predictions.tiles.row_at(model.rowCount() - 1)):
        left, top, width, height = row.box
        middle = slide.data_to_world((top + height / 2 - 0.5, left + width / 2 - 0.5))
        number = shown.get_value(middle, world=True)
        assert shown.features["class"][number] == row.predicted
        assert shown.features["probability"][number] == f"{row.probability:.3f}"
        assert row.predicted in str(shown.get_status(middle, world=True))
    predictions.as_layer.click()
    assert sum(layer.name.startswith("predictions of") for layer in viewer.layers) == 1


def test_predictions_take_the_place_of_the_map_and_say_their_colours(
    predictions: PredictionsDock, ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    ready.explain_slide()
    finish(ready, qtbot)
    one = next(layer for layer in viewer.layers if is_map(layer))
    assert one.visible and predictions.legend.isHidden()
    predictions.as_layer.click()
    shown = viewer.layers[-1]
    assert shown.visible and not one.visible
    assert not [x for x in viewer.layers if belongs_to_map(x) and x.visible]
    # Every colour that is drawn is named, and no other.
    assert not predictions.legend.isHidden()
    for name in shown.features["class"][1:].unique():
        number = int(shown.features.index[shown.features["class"] == name][0])
        colour = shown.colormap.color_dict[number]
        drawn = "#" + "".join(f"{round(255 * part):02X}" for part in colour[:3])
        assert (
            f'<span style="color:{drawn}">&#9632;</span>&nbsp;{name}' in predictions.legend.text()
        )
    shown.visible = False
    assert one.visible and predictions.legend.isHidden()
    shown.visible = True
    assert not one.visible and not predictions.legend.isHidden()
    # The same again: one layer, and the map is not forgotten.
    predictions.as_layer.click()
    (shown,) = [x for x in viewer.layers if x.name.startswith("predictions of")]
    assert not one.visible
    # A new map takes the place of the predictions.
    ready.explain_view()
    finish(ready, qtbot)
    assert not shown.visible and not one.visible and predictions.legend.isHidden()
    new = viewer.layers.selection.active
    assert is_map(new) and new.visible
    shown.visible = True
    viewer.layers.remove(shown)
    assert new.visible and not one.visible and predictions.legend.isHidden()


@pytest.mark.parametrize("with_slide", [True, False])
@pytest.mark.parametrize("dock_first", [True, False])
def test_the_tiles_of_a_dropped_store_are_listed(
    with_slide: bool,
    dock_first: bool,
    model_folder: Path,
    tiff_slide: Path,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    run = explain_slide(
        tiff_slide,
        load_model(str(model_folder)),
        [SaliencySpec(layer=name, samples=0) for name in ("layer1", "layer2")],
        tmp_path / "s.smoothsal.zarr",
        region=(100, 200, 300, 300),
        progress=False,
    )
    viewer = ViewerModel()
    viewer.canvas.size = (200, 300)
    opened = [read_slides(str(tiff_slide))[0]] if with_slide else []
    dock = PredictionsDock(viewer) if dock_first else None
    for data, options, kind in opened + read_stores(str(run.path))[with_slide:]:
        viewer.add_layer(Layer.create(data, options, kind))
    dock = dock or PredictionsDock(viewer)
    wait(qtbot, lambda: dock.tiles.model().rowCount() > 0)
    rows = tile_rows(run, list(run.maps)[-1])
    shown = [dock.tiles.row_at(i) for i in range(dock.tiles.model().rowCount())]
    assert sorted(shown, key=lambda row: row.box) == sorted(rows, key=lambda row: row.box)
    # A click flies there, and colours lie on the tiles, in micrometres of the slide.
    dock.tiles.step(1)
    x, y, w, h = shown[0].box
    middle = (0.5 * (y + h / 2), 0.5 * (x + w / 2))
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle)
    dock.as_layer.click()
    layer = viewer.layers[-1]
    number = layer.get_value(middle, world=True)
    assert layer.features["probability"][number] == f"{shown[0].probability:.3f}"
    assert not [one for one in viewer.layers if is_map(one) and one.visible]
    ended(dock)


def test_tables_and_pictures_are_saved_or_it_is_said_why_not(
    predictions: PredictionsDock,
    ready: SaliencyDock,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not predictions.save_table.isEnabled() and not predictions.save_picture.isEnabled()
    ready.explain_slide()
    finish(ready, qtbot)
    predictions.ask_view()
    wait(qtbot, lambda: not predictions.busy)
    chosen = tmp_path / "chosen"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(chosen), ""))
    predictions.tiles.sortByColumn(COLUMNS.index("p"), Qt.SortOrder.AscendingOrder)
    predictions.save_table.click()
    with chosen.open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [predictions.tiles.row_at(i) for i in range(predictions.tiles.model().rowCount())]
    assert [float(row["probability"]) for row in rows] == [row.probability for row in shown]
    assert [float(row["x_px"]) for row in rows] == [row.box[0] for row in shown]
    assert {row["difference"] for row in rows} == {""}
    predictions.save_picture.click()
    with Image.open(chosen) as picture:
        assert picture.format == "PNG"
        height, width = picture.height, picture.width
        beneath = np.asarray(picture.convert("L"))[predictions.shown.height() :]
    assert (width, height) > (predictions.shown.width(), predictions.shown.height())
    assert len(np.unique(beneath)) > 2  # words
    # A folder that is not there, and one that may not be written to (here: that is a file).
    for bad in (tmp_path / "nowhere" / "x", chosen / "x"):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, bad=bad: (str(bad), ""))
        for button in (predictions.save_table, predictions.save_picture):
            predictions.say("")
            button.click()
            assert "'x' could not be written" in predictions.status


def test_without_a_saliency_dock_they_say_what_to_do(viewer: Any, qtbot: Any) -> None:
    dock = PredictionsDock(viewer)
    dock.ask_view()
    assert "Saliency dock" in dock.status and not dock.busy
    ended(dock)


def test_what_is_asked_of_a_busy_engine_waits_and_can_be_called_off(
    roughness: TotalVariationDock, ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 200
    ready.explain_slide()
    wait(qtbot, lambda: ready.bar.progress_bar.maximum() > 0)
    roughness.view.click()
    assert "Waiting until" in roughness.status and roughness.cancel.isEnabled()
    # A pause leaves the engine to others.
    ready.bar.pause.click()
    wait(qtbot, lambda: roughness.found is not None and roughness.found.complete)
    assert "Paused" in ready.bar.status
    roughness.slide.click()
    roughness.cancel.click()
    wait(qtbot, lambda: not roughness.busy)
    assert roughness.status == "Stopped."
    ready.cancel()
    assert ready.bar.status.startswith("Stopped.") and not ready.busy


def test_a_closed_dock_leaves_nothing_to_compute(
    ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    dock = TotalVariationDock(viewer)
    dock.slide.click()
    wait(qtbot, lambda: dock._asking.job is not None and dock._asking.job.id > 0)
    number = dock._asking.job.id
    heard: list[Any] = []
    ready.session.engine.answered.connect(heard.append)
    ended(dock)
    wait(qtbot, lambda: any(getattr(a, "id", 0) == number for a in heard))
    wait(qtbot, lambda: type(heard[-1]).__name__ == "Stopped")
