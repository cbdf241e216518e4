"""Save and Show the model's input, from the dock's menu to the files and layers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from viewer_listening import PATIENCE_MS, finish

from napari_smoothsal import open_run, open_slide
from napari_smoothsal.viewer.saliency_dock import SaliencyDock


def ended(dock: SaliencyDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: "Saving" not in dock.bar.status, timeout=PATIENCE_MS)


def test_a_view_can_be_kept_after_it_was_shown(
    ready: SaliencyDock, viewer: Any, slide: Any, tmp_path: Path, qtbot: Any
) -> None:
    ready.save(tmp_path)
    assert "Explain something first" in ready.bar.status
    ready.form.controls["samples"].value = 2
    ready.explain_view()
    finish(ready, qtbot)
    out = tmp_path / "kept"
    out.mkdir()
    for _ in range(2):
        ready.save(out)
        ended(ready, qtbot)
        assert ready.bar.status.startswith("Saved: case.layer2.")
    stores = sorted(out.glob("*.smoothsal.zarr"))
    assert [store.name.count("-2") for store in stores] == [1, 0]  # nothing is overwritten
    run = open_run(stores[1])
    (kept,) = run.maps.values()
    height, width = kept.shape
    np.testing.assert_array_equal(kept.levels[0][:height, :width], viewer.layers[1].data)
    mask = np.asarray(Image.open(next(out.glob("*.view.mask.png"))))
    values = np.asarray(viewer.layers[1].data)
    assert mask.shape == values.shape
    assert (mask == 127).sum() == np.isnan(values).sum()
    half = viewer.layers[1].contrast_limits[1] / 2
    np.testing.assert_array_equal(mask == 255, values >= half)
    assert 0 < (mask == 255).sum() < mask.size
    with Image.open(next(out.glob("*.view.png"))) as figure:
        assert figure.width > 500


def test_a_view_without_tissue_does_not_take_the_map_away(
    ready: SaliencyDock, viewer: Any, slide: Any, tmp_path: Path, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 0
    ready.explain_view()
    finish(ready, qtbot)
    elsewhere = [[[800, 600], [890, 600], [890, 690], [800, 690], [800, 600]]]
    annotation = tmp_path / "elsewhere.geojson"
    annotation.write_text(json.dumps({"type": "Polygon", "coordinates": elsewhere}))
    ready.form.tiling.controls["tissue"].value = str(annotation)
    ready.explain_view()
    finish(ready, qtbot)
    assert ready.bar.status.startswith("No tissue")
    ready.form.tiling.controls["tissue"].value = "auto"
    ready.save(tmp_path)
    ready.explain_view()  # meanwhile the next one is computed
    ended(ready, qtbot)
    finish(ready, qtbot)
    assert list(tmp_path.glob("*.view.smoothsal.zarr"))
    assert not list(tmp_path.glob(".*.partial"))


def test_a_copy_that_failed_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_smoothsal.viewer import engine_saving

    store, kept = tmp_path / "a.smoothsal.zarr", tmp_path / "b.smoothsal.zarr"
    (store / "maps").mkdir(parents=True)
    (store / "maps" / "0").write_text("x")

    def half(source: Path, to: Path) -> None:
        to.mkdir()
        raise shutil.Error([(str(source), str(to), "disk full")])

    with monkeypatch.context() as patched:
        patched.setattr(engine_saving.shutil, "copytree", half)
        with pytest.raises(OSError, match="disk full"):
            engine_saving._copied(store, kept)
    assert [p.name for p in tmp_path.iterdir()] == ["a.smoothsal.zarr"]
    engine_saving._copied(store, kept)
    assert (kept / "maps" / "0").read_text() == "x"


def test_the_path_of_an_annotation_is_not_remembered(
    ready: SaliencyDock, viewer: Any, slide: Any, tmp_path: Path
) -> None:
    ready.form.tiling.controls["tissue"].value = str(tmp_path / "patient.geojson")
    ready.form.tiling.controls["halo"].value = "8"
    assert ready.form.values()["tiling"] == {"halo": "8"}
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="other")
    ready.slides._slide.value = str(viewer.layers["other"].unique_id)
    assert ready.form.tiling.controls["tissue"].value == "auto"


def test_a_folder_that_is_not_there_is_told(
    ready: SaliencyDock, viewer: Any, slide: Any, tmp_path: Path, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 0
    ready.explain_view()
    finish(ready, qtbot)
    ready.save(tmp_path / "nowhere")
    ended(ready, qtbot)
    assert "Nothing can be written to 'nowhere'" in ready.bar.status


def test_the_input_is_what_the_model_gets_in_its_place(
    ready: SaliencyDock, viewer: Any, slide: Any, tiff_slide: Path, qtbot: Any
) -> None:
    ready.show_input()
    finish(ready, qtbot)
    layer = viewer.layers[-1]
    assert "model input" in layer.name and "0.5 um per pixel" in ready.bar.status
    # At the slide's own resolution a tile is a cut-out, normalised by the card.
    y, x = (int(v) for v in np.rint(np.array(layer.translate) / 0.5))
    with open_slide(tiff_slide) as case:
        raw = case.read_region(x, y, 64, 64, 0)
    wanted = (raw / 255.0 - (0.7, 0.5, 0.7)) / 0.2
    np.testing.assert_allclose(layer.data, np.clip(wanted / 6 + 0.5, 0, 1), atol=1e-6)
    assert tuple(layer.scale) == (0.5, 0.5)
    # The tile in the middle of the view.
    middle = np.mean(layer.extent.world, axis=0)
    np.testing.assert_allclose(middle, (100, 100), atol=20)
    count = len(viewer.layers)
    ready.show_input()
    finish(ready, qtbot)
    assert len(viewer.layers) == count


def test_tiling_and_computing_reach_the_run(
    ready: SaliencyDock, viewer: Any, slide: Any, qtbot: Any
) -> None:
    ready.form.controls["samples"].value = 0
    ready.explain_view()
    finish(ready, qtbot)
    before = ready.reading.text
    ready.form.tiling.controls["overlap"].value = "0.5"
    ready.form.compute.controls["precision"].value = "fp64"
    ready.explain_view()
    finish(ready, qtbot)
    assert ready.reading.text != before  # more tiles in the same view
    ready.form.tiling.controls["overlap"].value = "2"
    ready.explain_view()
    assert not ready.busy and ready.bar.status.startswith("Overlap: ")
    assert ready.form.tiling.controls["overlap"].value == "2"
    kept = ready.form.values()
    ready.form.restore({})
    assert ready.form.tiling.values() == {} and ready.form.compute.values() == {}
    ready.form.restore(kept)
    assert ready.form.compute.settings().precision == "fp64"
