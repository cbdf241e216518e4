"""The What if dock beside a Saliency dock, with a real engine: trials, their layers, their end."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal import Compute, load_model, open_slide, what_if
from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.viewer.map_layer import is_map
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.what_if_dock import WhatIfDock
from napari_smoothsal.viewer.what_if_layers import is_replaced

SQUARE = np.array([(130.0, 170.0), (130.0, 230.0), (190.0, 230.0), (190.0, 170.0)])  # y, x


def ended(dock: Any) -> None:
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def wait(qtbot: Any, condition: Any) -> None:
    qtbot.waitUntil(condition, timeout=PATIENCE_MS)


@pytest.fixture
def dock_of_trials(ready: SaliencyDock, viewer: Any, qtbot: Any) -> Iterator[WhatIfDock]:
    dock = WhatIfDock(viewer)
    wait(qtbot, lambda: dock.fill.count() > 0)
    yield dock
    ended(dock)


@pytest.fixture
def shapes(slide: Any, viewer: Any) -> Any:
    return viewer.add_shapes([SQUARE * 0.5], shape_type="polygon", units=("um", "um"), name="drawn")


def tried(dock: WhatIfDock, button: Any, qtbot: Any) -> Any:
    """Press a button, and wait for what comes of it."""
    before = len(dock.trials.trials)
    button.click()
    wait(qtbot, lambda: not dock.busy)
    assert len(dock.trials.trials) == before + 1, dock.status
    return dock.trials.trials[-1]


def on_show(viewer: Any) -> list[Any]:
    return [x for x in viewer.layers if x.visible and (is_map(x) or _replaced(x))]


def _replaced(layer: Any) -> bool:
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and is_replaced(layer, own.get("key", {}).get("of", ""))


def test_a_trial_is_what_the_headless_call_says(
    dock_of_trials: WhatIfDock,
    viewer: Any,
    slide: Any,
    shapes: Any,
    tiff_slide: Path,
    model_folder: Path,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    dock = dock_of_trials
    fills = [dock.fill.itemData(i) for i in range(dock.fill.count())]
    assert fills == list(REGION_FILLS) and dock.fill.toolTip()
    active = viewer.layers.selection.active
    first = tried(dock, dock.remove, qtbot)
    region = first.view[1]
    with open_slide(tiff_slide) as file:
        expected = what_if(
            file,
            load_model(str(model_folder)),
            region=region,
            # Corners on centres of pixels in napari.
            shape=[SQUARE[:, ::-1] + 0.5],
            spec=dock.session.choice.now().spec,
            compute=Compute(device="cpu"),
        )
    assert first.said.before == pytest.approx(expected.pooled_before, abs=1e-6)
    assert first.said.after == pytest.approx(expected.pooled_after, abs=1e-6)
    assert first.said.tiles == len(expected.boxes)
    assert first.said.touched == (expected.hidden > 0).sum() > 0
    assert first.said.touched_after == pytest.approx(expected.touched_after, abs=1e-6)
    assert "Removed, tissue mean" in dock.status and "In those that changed tumour:" in dock.status
    # The replaced pixels lie on what is drawn, right above the slide, and nowhere else.
    replaced, after = first.layers
    shown = viewer.layers.index(replaced)
    assert shown == viewer.layers.index(slide) + 1
    alpha = np.asarray(replaced.data)[..., 3] > 0
    for place, inside in (((131, 171), True), ((189, 229), True), ((128, 200), False)):
        row, column = (round(v) for v in replaced.world_to_data(slide.data_to_world(place)))
        assert alpha[row, column] == inside
    assert alpha.sum() == pytest.approx(60 * 60, rel=0.02)
    # The maps are those of both, on one grid, and lie on one another.
    assert np.allclose(after.data, expected.maps.after, atol=1e-5, equal_nan=True)
    assert np.allclose(first.before.data, expected.maps.before, atol=1e-5, equal_nan=True)
    assert np.allclose(after.translate, first.before.translate)
    assert after.contrast_limits == first.before.contrast_limits
    assert on_show(viewer) == [replaced, after]
    # Whoever draws goes on in the same layer.
    assert viewer.layers.selection.active is active is shapes
    dock.as_it_is.click()
    assert on_show(viewer) == [first.before]
    dock.as_it_is.click()
    assert on_show(viewer) == [replaced, after]

    # More of them: the view is kept though one zooms in, and its map as it is not made again.
    viewer.scene.camera.zoom = 4.0
    dock.fill.setCurrentIndex(2)
    second = tried(dock, dock.reveal, qtbot)
    assert second.view == first.view and second.before is first.before
    assert second.said.before == first.said.before and second.said.after != first.said.after
    assert second.said.touched == second.said.tiles
    assert sum(is_map(x) for x in viewer.layers) == 3
    assert on_show(viewer) == second.layers
    assert [dock.trials.item(1, c).text() for c in (0, 1, 2)] == [
        "2 revealed",
        "inpainted",
        "tumour",
    ]
    # A click shows one again, and puts back what somebody has deleted.
    viewer.layers.remove(after)
    dock.trials.selectRow(0)
    assert on_show(viewer) == [replaced, after]
    dock.write_table(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["what"] for row in rows] == ["removed", "revealed"]
    assert float(rows[0]["change"]) == first.said.after["tumour"] - first.said.before["tumour"]

    # Undo takes the last, Clear all, and the viewer is as before.
    dock.undo.click()
    assert dock.trials.rowCount() == 1 and not set(second.layers) & set(viewer.layers)
    assert on_show(viewer) == first.layers
    dock.clear.click()
    assert list(viewer.layers) == [slide, shapes] and not dock.undo.isEnabled()
    assert not dock.as_it_is.isEnabled()


def test_without_a_map_it_is_probabilities_alone(
    dock_of_trials: WhatIfDock, viewer: Any, shapes: Any, ready: SaliencyDock, qtbot: Any
) -> None:
    dock = dock_of_trials
    dock.maps.setChecked(False)
    trial = tried(dock, dock.remove, qtbot)
    assert len(trial.layers) == 1 and trial.before is None and not dock.as_it_is.isEnabled()
    # An explained view beside it: its map takes the place of the trial, and the trial of it.
    ready.explain_view()
    finish(ready, qtbot)
    (own,) = [x for x in viewer.layers if is_map(x)]
    assert on_show(viewer) == [own]
    dock.trials.chosen.emit(trial)
    assert on_show(viewer) == trial.layers
    assert not own.visible


def test_other_settings_have_their_own_view_as_it_is(
    dock_of_trials: WhatIfDock, viewer: Any, shapes: Any, ready: SaliencyDock, qtbot: Any
) -> None:
    dock = dock_of_trials
    first = tried(dock, dock.remove, qtbot)
    ready.form.controls["layer"].value = "layer3"
    second = tried(dock, dock.remove, qtbot)
    assert second.view != first.view and second.before is not first.before
    assert second.view[1] == first.view[1]
    # Elsewhere than in the view of the trials it is what is in the window.
    viewer.scene.camera.center = (0.0, 200.0, 300.0)
    shapes.data = [SQUARE * 0.5 + (120, 220)]
    dock.maps.setChecked(False)
    third = tried(dock, dock.remove, qtbot)
    assert third.view[1] != first.view[1]


def test_what_is_missing_is_said(
    dock_of_trials: WhatIfDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    dock = dock_of_trials
    dock.remove.click()
    assert "add a Shapes layer" in dock.status and not dock.busy
    dock.draw.click()
    drawn = viewer.layers.selection.active
    assert drawn.mode == "add_polygon_lasso" and drawn is viewer.layers[-1]
    assert drawn.units == slide.units
    dock.draw.click()
    assert viewer.layers[-1] is drawn and len(viewer.layers) == 2
    # In the slide's corner, far from what is in view.
    drawn.add([np.array([(300, 400), (300, 420), (320, 420)])], shape_type="polygon")
    dock.remove.click()
    wait(qtbot, lambda: not dock.busy)
    assert "lies beside the tissue in view" in dock.status and not dock.trials.trials
    viewer.layers.remove(slide)
    dock.reveal.click()
    assert "open a slide" in dock.status.lower()


def test_without_a_saliency_dock_it_says_what_to_do(qtbot: Any) -> None:
    viewer = ViewerModel()
    dock = WhatIfDock(viewer)
    dock.try_change("remove")
    assert "Saliency dock" in dock.status and not dock.busy
    dock.undo_last()
    dock.clear_all()
    ended(dock)


def test_it_can_be_called_off_and_keeps_what_is_known(
    dock_of_trials: WhatIfDock, viewer: Any, shapes: Any, ready: SaliencyDock, qtbot: Any
) -> None:
    dock = dock_of_trials
    ready.form.controls["samples"].value = 500
    dock.remove.click()
    wait(qtbot, lambda: len(dock.trials.trials) == 1)
    assert dock.busy and "map follows" in dock.status
    wait(qtbot, lambda: not dock.progress.isHidden())
    dock.cancel.click()
    wait(qtbot, lambda: not dock.busy)
    assert dock.status == "Stopped." and dock.progress.isHidden()
    (trial,) = dock.trials.trials
    assert len(trial.layers) == 1 and trial.figures is not None
    # A newer one takes the place of what is computed; undone meanwhile it leaves no layer.
    dock.remove.click()
    wait(qtbot, lambda: len(dock.trials.trials) == 2)
    dock.undo.click()
    wait(qtbot, lambda: not dock.busy)
    assert [x for x in viewer.layers if _replaced(x)] == trial.layers
    # A slide that is closed leaves its trials readable.
    viewer.layers.remove(ready.slides.layer)
    dock.trials.chosen.emit(trial)
    assert on_show(viewer) == trial.layers


def test_it_survives_the_engine(
    dock_of_trials: WhatIfDock, viewer: Any, shapes: Any, ready: SaliencyDock, qtbot: Any
) -> None:
    dock = dock_of_trials
    ready.form.controls["samples"].value = 500
    dock.remove.click()
    wait(qtbot, lambda: len(dock.trials.trials) == 1)
    os.kill(dock.session.engine.process_id, signal.SIGKILL)
    wait(qtbot, lambda: not dock.busy)
    assert "computing process ended" in dock.status and dock.progress.isHidden()
    wait(qtbot, lambda: dock.session.engine.ready)
    ready.form.controls["samples"].value = 0
    again = tried(dock, dock.remove, qtbot)
    assert again.said.after == pytest.approx(dock.trials.trials[0].said.after, abs=1e-6)
    assert len(again.layers) == 2


def test_a_closed_dock_is_not_waited_for(
    ready: SaliencyDock, viewer: Any, shapes: Any, qtbot: Any
) -> None:
    dock = WhatIfDock(viewer)
    wait(qtbot, lambda: dock.fill.count() > 0)
    ready.form.controls["samples"].value = 500
    dock.remove.click()
    wait(qtbot, lambda: len(dock.trials.trials) == 1)
    heard: list[Any] = []
    ready.session.engine.answered.connect(heard.append)
    ended(dock)
    wait(qtbot, lambda: any(type(a).__name__ == "Stopped" for a in heard))
