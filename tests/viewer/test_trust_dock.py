"""The Trust dock beside a Saliency dock, with a real engine."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QFileDialog
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal import load_model, open_slide
from napari_smoothsal.evaluation.trust_together import ORDER
from napari_smoothsal.viewer.field_of_view import field_of_view
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.told_trust import DrawnCurve
from napari_smoothsal.viewer.trust_curves import BLUE, CurvePlot
from napari_smoothsal.viewer.trust_dock import TrustDock


def wait(qtbot: Any, condition: Any) -> None:
    qtbot.waitUntil(condition, timeout=PATIENCE_MS)


@pytest.fixture
def trust(ready: SaliencyDock, viewer: Any) -> Iterator[TrustDock]:
    dock = TrustDock(viewer)
    yield dock
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def colours(picture: Any) -> Any:
    return {tuple(colour) for colour in picture.reshape(-1, 3)}


def test_the_card_of_a_view_grows_is_shown_and_saved(
    trust: TrustDock,
    ready: SaliencyDock,
    viewer: Any,
    slide: Any,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not trust.save_table.isEnabled() and trust.told is None
    viewer.scene.camera.zoom = 1.0
    heard: list[Any] = []
    trust._asking.told.connect(lambda _job, answer: heard.append(answer))
    trust.test.click()
    assert trust.cancel.isEnabled() and not trust.progress.isHidden()
    wait(qtbot, lambda: trust.told is not None)
    assert not trust.told.complete and trust.table.rowCount() == len(trust.told.tests)
    wait(qtbot, lambda: not trust.busy)
    told = trust.told
    assert told.complete and not told.stopped and told.whole == told.chosen == 3
    assert [row.name for row in told.tests] == list(ORDER)
    assert trust.status.startswith("Done.") and trust.progress.isHidden()
    assert trust.verdict.text().startswith("<b>") and "not of whether the model" in told.verdict
    assert any(getattr(answer, "seconds_left", None) for answer in heard)
    # One column for each tile, and words for each row.
    assert trust.table.columnCount() == 5
    shown = {
        trust.table.item(k, 0).text(): trust.table.item(k, 4).text()
        for k in range(trust.table.rowCount())
    }
    assert list(shown) == list(ORDER) and all(shown.values())
    assert "19 random orders" in trust.curves.legend and len(told.deletion.tiles) == 3
    # Other settings make it a card of earlier ones, until they are as they were.
    layer = ready.form.controls["layer"]
    before = layer.value
    layer.value = "layer3" if before != "layer3" else "layer2"
    wait(qtbot, lambda: trust.stale)
    layer.value = before
    wait(qtbot, lambda: not trust.stale)
    # A click on a heading flies to that tile.
    trust.table.headings.sectionClicked.emit(2)
    x, y, w, h = field_of_view(viewer, slide)
    left, top, width, height = told.boxes[1]
    assert x <= left and x + w >= left + width and y <= top and y + h >= top + height
    assert not trust.stale  # until the view is at rest
    wait(qtbot, lambda: trust.stale)
    chosen = tmp_path / "chosen"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(chosen), ""))
    trust.save_table.click()
    with chosen.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18 and {row["test"] for row in rows} == set(ORDER)
    assert {float(row["x_px"]) for row in rows} == {box[0] for box in told.boxes}
    trust.save_picture.click()
    with Image.open(chosen) as picture:
        assert picture.format == "PNG" and picture.height > trust.shown.height()


def test_curves_are_drawn_where_they_are(tmp_path: Path, qtbot: Any) -> None:
    plot = CurvePlot("deletion")
    qtbot.addWidget(plot)
    plot.resize(220, 210)

    def drawn() -> Any:
        plot.grab().save(str(tmp_path / "plot.png"))
        with Image.open(tmp_path / "plot.png") as picture:
            return np.asarray(picture.convert("RGB"))

    blue = np.array([int(BLUE[k : k + 2], 16) for k in (1, 3, 5)])

    def line(picture: Any) -> Any:
        """(y, x) of blue pixels."""
        return np.argwhere((np.abs(picture.astype(int) - blue) < 30).all(-1))

    empty = drawn()
    assert len(line(empty)) == 0 and len(colours(empty)) > 5  # axes and their words
    high = DrawnCurve(tiles=((0.9, 0.9),), mean=(0.9, 0.9), low=(), high=())
    low = DrawnCurve(tiles=((0.1, 0.1),), mean=(0.1, 0.1), low=(0.0, 0.4), high=(0.2, 0.6))
    plot.show_curve(high, "tumour")
    above = line(drawn())
    plot.show_curve(low, "tumour")
    below = line(drawn())
    assert np.ptp(above[:, 0]) < 6 and np.ptp(above[:, 1]) > 120
    # 0.8 of the axis lie between them.
    height = 210 - 24 - 38
    assert below[:, 0].mean() - above[:, 0].mean() == pytest.approx(0.8 * height, abs=2)


def class_that_is_not_there(model_folder: Path, tiff_slide: Path) -> str:
    """What a random model does not take the slide for."""
    model = load_model(model_folder)
    with open_slide(tiff_slide) as slide:
        tile = slide.read_region(100, 100, 64, 64)
    image = torch.from_numpy(np.moveaxis(tile, -1, 0).copy())[None].float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std))
    logits = model.module((image - mean) / std)
    return model.card.class_names[1 - int(logits.argmax())]


def draw(viewer: Any, slide: Any, size: float) -> None:
    """A square of so many px."""
    corners = [(20, 20), (20, 20 + size), (20 + size, 20 + size), (20 + size, 20)]
    world = [slide.data_to_world(corner)[-2:] for corner in corners]
    viewer.add_shapes([np.array(world)], shape_type="polygon", units=("um", "um"))


def test_limits_measured_on_a_region_are_those_of_maps_from_then_on_until_removed(
    trust: TrustDock,
    ready: SaliencyDock,
    viewer: Any,
    slide: Any,
    model_folder: Path,
    tiff_slide: Path,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    ready.form.controls["target"].value = class_that_is_not_there(model_folder, tiff_slide)
    ready.explain_view()
    finish(ready, qtbot)
    (layer,) = [x for x in viewer.layers if is_map(x)]
    wait(qtbot, lambda: "no limits" in trust.limits.about.text())
    # Nothing drawn, and too little.
    trust.limits.calibrate.click()
    assert "Shapes layer" in trust.status and not trust.busy
    draw(viewer, slide, 150)
    trust.limits.calibrate.click()
    wait(qtbot, lambda: not trust.busy)
    assert "draw a larger region" in trust.status and trust.progress.isHidden()
    viewer.layers.pop()
    draw(viewer, slide, 400)
    trust.limits.rate.setCurrentIndex(1)
    trust.limits.calibrate.click()
    wait(qtbot, lambda: not trust.busy)
    assert trust.status.startswith("Calibrated on ") and "error rate of 10 %" in trust.status
    (kept,) = trust.limits.kept
    assert kept.path.parent == tmp_path / "calibrations" and kept.calibration.tiles >= 9
    assert trust.limits.list.count() == 1 and str(kept.path.parent) in trust.limits.place.text()
    # The map on show is of before, and says so; the next one has the limits, and a store, too.
    wait(qtbot, lambda: bool(layer.metadata[METADATA]["stale"]))
    ready.explain_view()
    finish(ready, qtbot)
    assert layer.metadata[METADATA]["calibration"] == kept.calibration
    wait(qtbot, lambda: "Error rate 10 %" in trust.limits.about.text())
    assert f"{kept.calibration.tiles} normal tiles" in trust.limits.about.text()
    assert "mm2 of one slide" in ready.colours.text
    trust.limits.list.setCurrentRow(0)
    trust.limits.remove.click()
    assert trust.status.startswith("Removed") and not kept.path.exists()
    ready.explain_view()
    finish(ready, qtbot)
    assert layer.metadata[METADATA]["calibration"] is None


def test_it_is_stopped_and_survives_the_engine_a_closed_slide_and_an_empty_viewer(
    trust: TrustDock, ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 200
    trust.test.click()
    wait(qtbot, lambda: trust.told is not None)
    trust.cancel.click()
    wait(qtbot, lambda: not trust.busy)
    assert trust.status.startswith("Stopped.") and trust.told.stopped and trust.progress.isHidden()
    trust.test.click()
    wait(qtbot, lambda: trust._asking.job is not None and trust._asking.job.id > 0)
    wait(qtbot, lambda: not trust.told.complete)
    os.kill(ready.session.engine.process_id, signal.SIGKILL)
    wait(qtbot, lambda: not trust.busy)
    assert "computing process ended" in trust.status and trust.progress.isHidden()
    # What was known is still there, and the next one is asked of the new engine.
    assert trust.told.boxes and trust.save_table.isEnabled() == bool(trust.told.tests)
    viewer.layers.remove(slide)
    trust.fly(0)
    assert "not open any more" in trust.status
    for ask in (trust.test.click, trust.limits.calibrate.click):
        ask()
        assert "open a slide first" in trust.status.lower() and not trust.busy
