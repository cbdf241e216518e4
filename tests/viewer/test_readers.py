"""Readers: what is claimed, and what is left to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from npe2 import PluginManifest

import napari_smoothsal
from napari_smoothsal import SaliencySpec, Tiling, explain_slide
from napari_smoothsal.core.errors import SlideError, StoreError
from napari_smoothsal.models import Model
from napari_smoothsal.viewer.readers import get_slide_reader, get_store_reader, read_stores
from napari_smoothsal.viewer.slide_source import METADATA, SlideSource

MANIFEST = Path(napari_smoothsal.__file__).parent / "napari.yaml"


def test_a_slide_is_read_lazily_in_micrometres(tiff_slide: Path) -> None:
    reader = get_slide_reader(str(tiff_slide))
    assert reader is not None
    ((_, options, kind),) = reader(str(tiff_slide))
    assert kind == "image" and options["rgb"] and options["name"] == "case"
    assert options["scale"] == pytest.approx((0.5, 0.5))
    assert options["units"] == ("um", "um") and options["translate"] == (0, 0)


def test_metadata_neither_shows_the_path_nor_holds_properties(tiff_slide: Path) -> None:
    ((_, options, _),) = get_slide_reader(str(tiff_slide))(str(tiff_slide))  # type: ignore[misc]
    assert list(options["metadata"]) == [METADATA]
    source = options["metadata"][METADATA]
    assert isinstance(source, SlideSource) and source.path == tiff_slide
    assert str(tiff_slide.parent) not in repr(options["metadata"])


def test_other_tiffs_and_missing_files_are_left_to_others(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((64, 64), np.uint8))
    assert get_slide_reader(str(plain)) is None
    assert get_slide_reader(str(tmp_path / "gone.svs")) is None
    (tmp_path / "text.svs").write_text("no slide")
    # It can be nothing but a slide, so that what is wrong with it is told by us.
    read = get_slide_reader(str(tmp_path / "text.svs"))
    assert read is not None
    with pytest.raises(SlideError, match=r"^text\.svs"):
        read(str(tmp_path / "text.svs"))


def test_only_folders_that_look_like_stores_are_claimed(tmp_path: Path) -> None:
    assert get_store_reader(str(tmp_path)) is None
    store = tmp_path / "a.smoothsal.zarr"
    store.mkdir()
    assert get_store_reader(str(store)) is None
    (store / "zarr.json").write_text("{}")
    assert get_store_reader(str(store)) is not None
    with pytest.raises(StoreError, match="no saliency store"):
        read_stores(str(store))


def test_a_store_is_opened_by_its_url(tiff_slide: Path, classifier: Model, npe2pm: Any) -> None:
    url = "memory://opened/case.smoothsal.zarr"
    spec = SaliencySpec(layer="layer2", samples=0)
    tiling = Tiling(tissue="all")
    run = explain_slide(tiff_slide, classifier, [spec], url, tiling=tiling, progress=False)
    assert get_store_reader(url) is read_stores and get_slide_reader(url) is None
    assert get_store_reader("memory://opened/nothing.smoothsal.zarr") is None
    viewer = ViewerModel()
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)):
        layers = viewer.open(url, plugin="napari-smoothsal")
    assert layers[0].name == "overview of case"
    (key,) = run.maps
    assert any(np.asarray(layer.data).shape[:2] == run.maps[key].shape for layer in layers)
