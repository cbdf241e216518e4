"""What the Saliency dock does beyond a view: live, regions, estimates, pauses, copies, memory."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QGuiApplication
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.runs import open_run
from napari_smoothsal.viewer import run_bar
from napari_smoothsal.viewer.copied_settings import Setting, as_command, as_python
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.session import session_of
from napari_smoothsal.viewer.told import Progressed


def wait(qtbot: Any, condition: Any) -> None:
    qtbot.waitUntil(condition, timeout=PATIENCE_MS)


def test_live_follows_the_view_and_the_settings(
    ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    ready.bar.live.setChecked(True)
    wait(qtbot, lambda: len(viewer.layers) == 2 and not ready.busy)
    layer = viewer.layers[1]
    before = np.array(layer.extent.world)
    # Several movements, of which only where they end is explained.
    for x in (130.0, 160.0, 200.0):
        viewer.scene.camera.center = (0.0, 120.0, x)
    wait(qtbot, lambda: abs(layer.extent.world[0, 1] - 125) < 5)
    finish(ready, qtbot)
    assert not np.allclose(before, layer.extent.world)
    map_before = np.array(layer.data)
    ready.form.controls["denoising"].value = "original"
    wait(qtbot, lambda: len(viewer.layers) == 3 and not ready.busy)
    assert not np.allclose(map_before, viewer.layers[2].data, equal_nan=True)
    # At rest nothing is computed again, and without it nothing is.
    engine = session_of(viewer).engine
    asked = next(engine._ids)
    ready.bar.live.setChecked(False)
    viewer.scene.camera.center = (0.0, 100.0, 100.0)
    qtbot.wait(600)
    assert next(engine._ids) == asked + 1


def test_live_says_quietly_why_it_cannot(ready: SaliencyDock, viewer: Any, qtbot: Any) -> None:
    ready.bar.live.setChecked(True)
    viewer.scene.camera.center = (0.0, 9e5, 9e5)
    wait(qtbot, lambda: "not in view" in ready.bar.status)


def test_what_is_drawn_is_explained_and_kept(
    ready: SaliencyDock, viewer: Any, slide: Any, tiff_slide: Path, qtbot: Any
) -> None:
    ready.explain_region()
    assert "Shapes layer" in ready.bar.status and not ready.busy
    corners = np.array([[60, 60], [60, 160], [160, 160], [160, 60]])
    drawn = viewer.add_shapes(
        [corners, np.array([[0.0, 0.0], [300, 400]])], shape_type=["ellipse", "line"]
    )
    assert tuple(drawn.scale) == (1.0, 1.0)  # in micrometres, as the slide
    ready.explain_region()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")
    (store,) = tiff_slide.parent.glob("*.region.*.smoothsal.zarr")
    tiles = open_run(store).tiles
    middles = tiles[["x_px", "y_px"]].to_numpy() + tiles[["w_px", "h_px"]].to_numpy() / 2
    # Around (220, 220) px with a radius of 100 px; a tile is 64 px.
    assert 4 <= len(tiles) < 60
    assert np.linalg.norm(middles - 220, axis=1).max() < 100 + 64
    assert viewer.layers[-1].name.endswith("(region)")
    drawn.selected_data = {1}
    ready.explain_region()
    assert "lines only" in ready.bar.status
    drawn.data = [corners + 5000]
    ready.explain_region()
    assert "lies beside" in ready.bar.status


def test_a_slide_is_estimated_first_and_starts_when_asked_to(
    ready: SaliencyDock, viewer: Any, tiff_slide: Path, qtbot: Any
) -> None:
    ready.estimate_slide()
    wait(qtbot, ready.bar.start.isEnabled)
    assert "Start?" in ready.bar.status and "tiles, about" in ready.bar.status
    assert viewer.layers[-1].name == "tissue that is explained"
    assert not ready.busy and not list(tiff_slide.parent.glob("*.zarr"))
    ready.bar.start.click()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")
    assert list(tiff_slide.parent.glob("case.layer2.centred_hook.*.smoothsal.zarr"))
    # Called off, nothing is left.
    ready.estimate_slide()
    wait(qtbot, ready.bar.start.isEnabled)
    ready.bar.cancel.click()
    assert ready.bar.status == "Stopped." and not ready.bar.start.isEnabled()
    assert not list(session_of(viewer).folder.iterdir())


def test_an_estimate_says_what_it_does_and_how_long_already(
    ready: SaliencyDock, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_bar, "SOON_S", 0.05)
    ready.bar._clock.setInterval(20)
    ready.form.controls["samples"].value = 400  # two tiles take a while
    said: list[str] = []
    told = ready.bar.say
    monkeypatch.setattr(ready.bar, "say", lambda text: (said.append(text), told(text)))
    ready.estimate_slide()
    assert ready.bar.progress_bar.maximum() == 0 and not ready.bar.progress_bar.isHidden()
    assert ready.bar.status == "Looking for tissue ..."
    # What is found comes before the two tiles are timed; the seconds go on meanwhile.
    wait(qtbot, lambda: "Trying two tiles" in ready.bar.status)
    assert not ready.bar.start.isEnabled()
    assert viewer.layers[-1].name == "tissue that is explained"
    wait(qtbot, lambda: ready.bar.status.endswith(" s"))
    assert "Trying two tiles" in ready.bar.status and not ready.bar.start.isEnabled()
    wait(qtbot, ready.bar.start.isEnabled)
    qtbot.wait(60)
    assert ready.bar.status.endswith("Start?")
    ready.bar.start.click()
    wait(qtbot, lambda: any("tiles to explain" in text for text in said))
    assert sum("Trying two tiles" in text for text in said) == 1
    ready.cancel()
    finish(ready, qtbot)


def test_a_pause_holds_the_tiles_and_cancel_ends_it(ready: SaliencyDock, qtbot: Any) -> None:
    ready.form.controls["samples"].value = 40
    ready.explain_slide()
    wait(qtbot, lambda: ready.bar.progress_bar.value() > 0)
    ready.bar.pause.click()
    qtbot.wait(700)
    held = ready.bar.progress_bar.value()
    qtbot.wait(700)
    assert ready.bar.progress_bar.value() == held
    assert ready.bar.pause.text() == "Resume"
    ready.bar.pause.click()
    wait(qtbot, lambda: ready.bar.progress_bar.value() > held or not ready.busy)
    ready.bar.pause.click()
    ready.cancel()
    finish(ready, qtbot)
    assert "goes on where it stopped" in ready.bar.status or ready.bar.status.startswith("Done.")
    assert not ready.bar.pause.isChecked()


def of_many_masks(dock: SaliencyDock, masks: int) -> None:
    dock.form.controls["method"].value = "rise"
    controls = dock.form.options["method_options"].controls
    controls["masks"].value, controls["cells"].value = masks, 3


def test_a_view_of_many_masks_says_how_far_it_is(ready: SaliencyDock, qtbot: Any) -> None:
    of_many_masks(ready, 100)
    told: list[Progressed] = []
    ready.session.engine.answered.connect(
        lambda answer: told.append(answer) if isinstance(answer, Progressed) else None
    )
    ready.explain_view()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")
    shares = [one.done / one.total for one in told]
    assert shares == sorted(shares) and shares[0] == 0
    # Not done at the first sight, as it would be if masks were noise samples.
    assert any(0.1 < share < 0.9 for share in shares)


def test_what_is_cancelled_among_many_masks_goes_on(
    ready: SaliencyDock, viewer: Any, tiff_slide: Path, qtbot: Any
) -> None:
    of_many_masks(ready, 120)
    ready.form.compute.controls["batch_size"].value = "4"
    corners = np.array([[60, 60], [60, 120], [120, 120], [120, 60]])
    viewer.add_shapes([corners], shape_type="rectangle")
    ready.estimate_region()
    wait(qtbot, ready.bar.start.isEnabled)
    ready.start()
    wait(qtbot, lambda: ready.bar.progress_bar.value() >= 4)
    ready.bar.pause.click()
    wait(qtbot, lambda: "Paused" in ready.bar.status)
    ready.bar.pause.click()
    wait(qtbot, lambda: "left" in ready.bar.status)
    ready.cancel()
    finish(ready, qtbot)
    assert ready.bar.status == "Stopped. The same again goes on where it stopped."
    (store,) = tiff_slide.parent.glob("*.region.*.smoothsal.zarr")
    before = open_run(store).tiles["status"].eq("done").sum()
    assert ".input.original." in store.name and 0 < before < len(open_run(store).tiles)
    ready.explain_region()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")
    assert open_run(store).status == "complete"


SPEC = SaliencySpec(
    layer="layer2",
    denoising="centred_hook",
    denoising_options={"strength": 0.5},
    method="deeplift",
    method_options={"baseline": "white"},
    jitter=True,
    samples="auto",
    target="normal",
    sigma=0.1,
)


@pytest.mark.parametrize("spec", [SPEC, SaliencySpec(layer="layer1")])
def test_python_that_is_copied_is_the_same_spec(spec: SaliencySpec) -> None:
    setting = Setting(
        "a b.svs", "out.smoothsal.zarr", 0.25, "demo-classifier", spec, region=(1, 2, 3, 4)
    )
    script = as_python(setting)
    compile(script, "copied", "exec")
    (line,) = (text for text in script.splitlines() if text.startswith("spec = "))
    assert eval(line[7:], {"ss": __import__("napari_smoothsal")}) == spec
    assert "mpp=0.25" in script and "region=(1, 2, 3, 4)" in script


@pytest.mark.parametrize("spec", [SPEC, SaliencySpec(layer="layer1")])
def test_a_command_that_is_copied_is_the_same_spec(
    spec: SaliencySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from napari_smoothsal.cli import app, run

    made: list[Any] = []

    def caught(given: dict[str, Any]) -> list[SaliencySpec]:
        made.extend(run_specs(given))
        raise SystemExit(0)

    run_specs = run.specs_from
    monkeypatch.setattr(run, "specs_from", caught)
    setting = Setting(
        "a b.svs", "out.smoothsal.zarr", 0.25, "demo-classifier", spec, region=(1, 2, 3, 4)
    )
    words = shlex.split(as_command(setting))
    assert words[0] == "smoothsal"
    result = CliRunner().invoke(app.app, words[1:])
    assert made == [spec], result.output


def test_copies_go_to_the_clipboard(
    ready: SaliencyDock, tiff_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.bar.copy_python.trigger()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None and str(tiff_slide) in clipboard.text()
    assert "ss.SaliencySpec(layer='layer2'" in clipboard.text()
    ready.bar.copy_command.trigger()
    assert clipboard.text().startswith("smoothsal run ")


def test_reset_and_memory(ready: SaliencyDock, viewer: Any, model_folder: Path, qtbot: Any) -> None:
    controls = ready.form.controls
    controls["layer"].value = "layer1"
    controls["sigma"].value = 0.35
    controls["denoising"].value = "centred_hook"
    ready.form.options["denoising_options"].controls["strength"].value = 0.5
    wanted = ready.form.spec()
    ready.explain_view()
    finish(ready, qtbot)
    ready.bar.reset.trigger()
    spec = ready.form.spec()
    assert spec == SaliencySpec(layer="layer2", target="tumour")
    # The next dock begins as the last explanation was, and with its model.
    again = SaliencyDock(viewer)
    qtbot.addWidget(again)
    wait(qtbot, lambda: bool(again.form.controls["layer"].value))
    assert again.slides.model == str(model_folder)
    assert again.form.spec() == wanted
    again.deleteLater()


def test_the_pointer_reads_the_map_in_words(
    ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.pointer.read()
    assert "Point at a map" in ready.pointer.text()
    ready.explain_view()
    finish(ready, qtbot)
    layer = viewer.layers[1]
    values = np.asarray(layer.data)
    y, x = np.unravel_index(np.nanargmax(values), values.shape)
    viewer.cursor.position = tuple(layer.data_to_world((y, x)))
    ready.pointer.read()
    assert ready.pointer.text().startswith("layer2, centred hook, activation x gradient, tumour: +")
    assert "(100th percentile), supports tumour" in ready.pointer.text()
    assert viewer.status == ready.pointer.text()
    y, x = np.unravel_index(np.nanargmin(values), values.shape)
    viewer.cursor.position = tuple(layer.data_to_world((y, x)))
    ready.pointer.read()
    assert (
        "speaks against tumour" in ready.pointer.text() or "supports tumour" in ready.pointer.text()
    )
    viewer.cursor.position = (-500.0, -500.0)
    ready.pointer.read()
    assert "beside the map" in ready.pointer.text()


def test_one_key_takes_maps_off_and_puts_them_back(
    ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.explain_view()
    finish(ready, qtbot)
    (_, layer) = viewer.layers
    press = next(done for key, done in viewer.keymap.items() if str(key) == "Shift+H")
    press(viewer)
    assert not layer.visible and slide.visible
    press(viewer)
    assert layer.visible
