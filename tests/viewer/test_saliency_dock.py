"""The Saliency dock with a real engine, on a viewer without a window."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from test_overlay import stored
from viewer_listening import PATIENCE_MS, finish
from viewer_pictures import tissue

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.viewer.map_layer import map_layer_options
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.session import session_of


def test_choices_follow_the_model(ready: SaliencyDock, qtbot: Any) -> None:
    layers = ready.form.controls["layer"]
    texts = [layers.native.itemText(i) for i in range(layers.native.count())]
    assert texts[:3] == [
        "relu - 1.0 um per pixel",
        "layer1 - 2.0 um per pixel",
        "layer2 - 4.0 um per pixel",
    ]
    assert layers.value == "layer2"
    targets = ready.form.controls["target"]
    assert targets.value == "tumour"
    assert set(targets.choices) == {"normal", "tumour", "auto", "normal-tumour", "tumour-normal"}
    assert ready.form.controls["denoising"].value == SaliencySpec.model_fields["denoising"].default
    assert ready.form.spec() == SaliencySpec(layer="layer2", samples=0, target="tumour")


def test_controls_are_the_fields_with_their_descriptions(dock: SaliencyDock) -> None:
    assert {
        "layer",
        "denoising",
        "method",
        "target",
        "samples",
        "sigma",
        "reduction",
        "seed",
    } <= set(dock.form.controls)
    assert "schema_version" not in dock.form.controls
    for name, control in dock.form.controls.items():
        description = SaliencySpec.model_fields[name].description or ""
        assert control.tooltip.startswith(description.replace("`", "'")[:40])


def test_explain_view_shows_a_map_on_the_view_and_reads_it_out(
    ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.explain_view()
    assert ready.busy
    finish(ready, qtbot)
    (_, layer) = viewer.layers
    assert layer.name == (
        "layer2 | centred hook | activation x gradient | supports tumour / speaks against (view)"
    )
    assert np.isfinite(np.asarray(layer.data)).any()
    low, high = layer.extent.world
    # The view is 150 x 100 um around (100, 100); a layer pixel is 4 um.
    np.testing.assert_allclose(low, (50, 25), atol=4.5)
    np.testing.assert_allclose(high, (150, 175), atol=4.5)
    assert layer.contrast_limits[0] == -layer.contrast_limits[1] < 0
    assert "Total variation" in ready.reading.text and "tumour" in ready.reading.text
    assert "speaks against tumour" in ready.colours.text
    # Again, elsewhere, with the same settings: the same layer.
    viewer.scene.camera.center = (0.0, 120.0, 200.0)
    ready.explain_view()
    finish(ready, qtbot)
    assert list(viewer.layers) == [slide, layer]
    np.testing.assert_allclose(layer.extent.world[0], (70, 125), atol=4.5)
    # What is on show can still be saved; of what was before nothing is left.
    assert len(list(session_of(viewer).folder.iterdir())) == 1


def test_a_bad_sigma_is_marked_explained_and_nothing_is_lost(
    ready: SaliencyDock, viewer: Any
) -> None:
    sigma = ready.form.controls["sigma"]
    sigma.value = -0.5
    assert "border" in sigma.native.styleSheet()
    assert "greater than or equal to 0" in ready.form.problem
    ready.explain_view()
    assert not ready.busy
    assert "greater than or equal to 0" in ready.bar.status
    assert sigma.value == -0.5
    assert ready.form.controls["samples"].value == "0"
    sigma.value = 0.1
    assert sigma.native.styleSheet() == "" and ready.form.problem == ""


def test_what_is_asked_while_the_engine_starts_is_done_when_it_is_ready(
    dock: SaliencyDock, slide: Any, viewer: Any, model_folder: Path, qtbot: Any
) -> None:
    assert not dock.session.engine.ready
    dock.slides.add_model(str(model_folder))
    dock.bar.explain_view.click()
    # It is said, it is seen, and it can be called off.
    assert "Starting the computing process" in dock.bar.status and dock.busy
    assert not dock.bar.progress_bar.isHidden() and dock.bar.progress_bar.maximum() == 0
    dock.bar.cancel.click()
    assert dock.bar.status == "Stopped." and not dock.busy and dock.bar.progress_bar.isHidden()
    dock.bar.explain_view.click()
    assert len(viewer.layers) == 1
    finish(dock, qtbot)
    assert dock.bar.status.startswith("Done.") and "(view)" in viewer.layers[1].name
    # Another model, and the view at once: while it is loaded, too.
    dock.slides.add_model(str(model_folder))
    dock.bar.explain_slide.click()
    qtbot.waitUntil(dock.bar.start.isEnabled, timeout=PATIENCE_MS)
    # A folder that holds none: nothing is waited for any more.
    dock.slides.add_model(str(slide.metadata["smoothsal"].path.parent))
    dock.bar.explain_view.click()
    assert dock.busy
    qtbot.waitUntil(lambda: not dock.busy, timeout=PATIENCE_MS)
    assert "card.json" in dock.bar.status and dock.bar.progress_bar.isHidden()


def test_cancel_ends_a_view_and_leaves_no_layer(
    ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 500
    ready.explain_view()
    qtbot.waitUntil(lambda: ready.bar.progress_bar.maximum() > 0, timeout=PATIENCE_MS)
    ready.cancel()
    finish(ready, qtbot)
    assert ready.bar.status == "Stopped."
    assert list(viewer.layers) == [slide]
    assert not ready.bar.cancel.isEnabled()


def test_explain_slide_keeps_its_store_and_grows(
    ready: SaliencyDock, viewer: Any, tiff_slide: Path, qtbot: Any
) -> None:
    ready.estimate_slide()
    qtbot.waitUntil(ready.bar.start.isEnabled, timeout=PATIENCE_MS)
    (_, tissue_layer) = viewer.layers
    # What is explained is outlined before it is; all of this slide is tissue.
    assert tissue_layer.name == "tissue that is explained"
    np.testing.assert_allclose(
        tissue_layer.extent.world, [(-0.25, -0.25), (349.75, 449.75)], atol=1
    )
    assert set(np.unique(tissue_layer.data)) == {0, 1} and tissue_layer.data.mean() < 0.5
    ready.start()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")
    (store,) = tiff_slide.parent.glob("case.layer2.centred_hook.*.smoothsal.zarr")
    (slide, outline, layer) = viewer.layers
    assert outline is tissue_layer and not outline.visible
    # The slide is 450 x 350 um; its map ends where it does.
    np.testing.assert_allclose(layer.extent.world[1], (350, 450), atol=8)
    ready.explain_slide()  # finished: opened, not computed again
    finish(ready, qtbot)
    assert len(list(tiff_slide.parent.glob("*.smoothsal.zarr"))) == 1
    assert list(viewer.layers) == [slide, outline, layer] and not outline.visible
    # And it opens by itself.
    from napari_smoothsal.viewer.readers import get_store_reader

    reader = get_store_reader(str(store))
    assert reader is not None
    overview, opened = reader(str(store))
    assert opened[1]["scale"] == tuple(layer.scale)
    assert opened[1]["translate"] == tuple(layer.translate)
    assert overview[1]["units"] == ("um", "um")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_dead_engine_is_told_and_the_next_view_works(
    ready: SaliencyDock, viewer: Any, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 500
    ready.explain_view()
    qtbot.waitUntil(lambda: ready.bar.progress_bar.maximum() > 0, timeout=PATIENCE_MS)
    os.kill(session_of(viewer).engine.process_id, signal.SIGKILL)
    finish(ready, qtbot)
    assert "killed" in ready.bar.status and "started again" in ready.bar.status
    ready.form.controls["samples"].value = 0
    ready.explain_view()
    finish(ready, qtbot)
    assert len(viewer.layers) == 2


def test_a_layer_of_somebody_else_asks_for_its_resolution(
    ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    viewer.layers.remove(slide)
    picture = tissue(300, 400)
    other = viewer.add_layer(Image(picture, rgb=True, name="other"))
    viewer.scene.camera.center = (0.0, 150.0, 200.0)
    viewer.scene.camera.zoom = 1.0
    assert ready.slides.layer is other
    ready.explain_view()
    assert "micrometres" in ready.bar.status and not ready.busy
    ready.slides._mpp.value = 0.5
    ready.explain_view()
    finish(ready, qtbot)
    (_, layer) = viewer.layers
    assert tuple(layer.scale) == (8.0, 8.0)
    np.testing.assert_allclose(layer.extent.world[0], (50, 50), atol=9)


def test_out_of_sight_and_no_slide_are_told(ready: SaliencyDock, viewer: Any, slide: Any) -> None:
    viewer.scene.camera.center = (0.0, 9e5, 9e5)
    ready.explain_view()
    assert "not in view" in ready.bar.status
    viewer.layers.remove(slide)
    ready.explain_view()
    assert "Open a slide first" in ready.bar.status
    assert not ready.busy


def test_a_model_that_cannot_be_loaded_is_told(
    dock: SaliencyDock, tmp_path: Path, qtbot: Any
) -> None:
    (tmp_path / "empty").mkdir()
    dock.slides.add_model(str(tmp_path / "empty"))
    qtbot.waitUntil(lambda: "card.json" in dock.bar.status, timeout=PATIENCE_MS)
    dock.explain_view()
    assert "hoose a model" in dock.bar.status


def test_the_legend_is_that_of_the_selected_map(
    dock: SaliencyDock, viewer: Any, tmp_path: Path
) -> None:
    picture = stored(tmp_path / "m", legend=("supports x", "speaks against x"))
    layer = Image(np.zeros((4, 4)), **map_layer_options(picture, "m", False))
    viewer.add_layer(layer)
    viewer.layers.selection.active = layer
    assert "supports x" in dock.colours.text
    viewer.add_layer(Image(np.zeros((4, 4))))  # somebody else's: the legend stays
    assert "supports x" in dock.colours.text


def test_options_reach_the_map(ready: SaliencyDock, viewer: Any, qtbot: Any) -> None:
    maps = {}
    for strength in (0.0, 1.0):
        ready.form.controls["denoising"].value = "centred_hook"
        ready.form.options["denoising_options"].controls["strength"].value = strength
        ready.explain_view()
        finish(ready, qtbot)
        maps[strength] = np.nan_to_num(viewer.layers[1].data)
    ready.form.controls["denoising"].value = "original"
    ready.explain_view()
    finish(ready, qtbot)
    plain = np.nan_to_num(viewer.layers[2].data)
    np.testing.assert_allclose(maps[0.0], plain, atol=1e-4 * np.abs(plain).max())
    assert np.abs(maps[1.0] - plain).max() > 0.1 * np.abs(plain).max()


def test_what_joins_two_options_is_told_by_the_engine(ready: SaliencyDock, qtbot: Any) -> None:
    ready.form.controls["denoising"].value = "gaussian_blur"
    options = ready.form.options["denoising_options"].controls
    options["match"].value = "backward_hook"
    options["sigma"].value = 2
    ready.explain_view()
    finish(ready, qtbot)
    assert "sigma = 2 and match = 'backward_hook' exclude each other" in ready.bar.status
    options["sigma"].value = 1
    ready.explain_view()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("Done.")


def test_a_missing_surrogate_is_told_before_anything_is_run(ready: SaliencyDock) -> None:
    ready.form.controls["denoising"].value = "bilinear_surrogate"
    ready.explain_view()
    assert not ready.busy
    assert "needs a surrogate" in ready.bar.status
    assert "smoothsal train-surrogate" in ready.bar.status
