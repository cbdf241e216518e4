"""A store with limits is shown with them, wherever it comes from; a box shows the rest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from PIL import Image as Picture
from viewer_pictures import tissue

from napari_smoothsal import Model, SaliencySpec, Tiling, explain_slide, load_model
from napari_smoothsal.core.calibration import Calibration, calibrated_as
from napari_smoothsal.render.figure import comparison_figure
from napari_smoothsal.render.limits import ColourLimit
from napari_smoothsal.render.masks import write_masks
from napari_smoothsal.runs import Run
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.cursor_reading import CursorReading
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.map_picture import pictures_of
from napari_smoothsal.viewer.messages import line_of
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.readers import read_stores
from napari_smoothsal.viewer.slide_source import METADATA

MPP = (0.5, 0.5)
PIXELS = tissue(250, 300)
SPEC = SaliencySpec(layer="layer1", samples=0)


def a_run(model: Model, folder: Path) -> Run:
    slide = ArraySlide([PIXELS], mpp=MPP, name="case")
    tiling = Tiling(tissue="all")
    return explain_slide(slide, model, [SPEC], folder, tiling=tiling, progress=False)


def with_limits(model: Model, plain: Run, folder: Path, **fields: Any) -> Run:
    """The same with limits in the middle of what its map and tiles have."""
    (found,) = plain.maps.values()
    known = {"target": "tumour", "full_colour": 1.0, "error_rate": 0.05, "tiles": 200}
    known |= {"limit": float(np.nanmedian(np.abs(found.levels[0]))), "tile_px": 64, "copies": 39}
    known |= {"probability": float(plain.tiles["p_tumour"].median()), "expected": (0.02, 0.08)}
    known |= {"stain": 0.1, "predicted": 0.0} | fields
    model.calibrations = (Calibration(spec=calibrated_as(found.spec), **known),)
    return a_run(model, folder)


@pytest.fixture(scope="module")
def runs(model_folder: Path, tmp_path_factory: Any) -> Any:
    """Without limits, with some, and with some that leave nothing; each of several levels."""
    folder, model = tmp_path_factory.mktemp("stores"), load_model(model_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_smoothsal.runs.layout.BAND", 16)
        patch.setattr("napari_smoothsal.runs.layout.COARSEST_PX", 32)
        plain = a_run(model, folder / "plain.smoothsal.zarr")
        return SimpleNamespace(
            plain=plain,
            calibrated=with_limits(model, plain, folder / "calibrated.smoothsal.zarr"),
            useless=with_limits(model, plain, folder / "useless.smoothsal.zarr", shown=0.1),
        )


def shown(viewer: Any, display: MapDisplay, run: Run) -> Any:
    slide = viewer.add_layer(Image(PIXELS, rgb=True, scale=MPP, units=("um", "um")))
    overlay = Overlay(viewer, slide, MPP, part="slide")
    (picture,) = pictures_of(run)
    line_of(picture)  # it travels as a message
    overlay.show(picture)
    display.bring_up_to_date(overlay.layer)
    return overlay.layer


def test_the_box_says_where_its_tick_changes_nothing(
    viewer: Any, display: MapDisplay, runs: Any
) -> None:
    for run, said, used in (
        (runs.plain, "(no limits for this map)", False),
        (runs.useless, "(the limits of this map leave too little)", False),
        (runs.calibrated, "", True),
    ):
        shown(viewer, display, run)
        assert display.calibrated.isChecked() and display.calibrated.text() == said
        assert ("calibrated: shown only" in display.text) == used


def levels(layer: Any) -> list[np.ndarray]:
    return [np.asarray(level[:]) for level in layer.data]


def stored(run: Run) -> list[np.ndarray]:
    (found,) = run.maps.values()
    return [np.asarray(level[:]) for level in found.extreme_levels]


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_calibrated_map_is_blank_below_its_limits_until_one_asks_for_the_rest(
    viewer: Any, display: MapDisplay, runs: Any
) -> None:
    layer = shown(viewer, display, runs.calibrated)
    limits = layer.metadata[METADATA]["calibration"]
    assert len(layer.data) > 1
    for seen, whole in zip(levels(layer), stored(runs.calibrated), strict=True):
        kept = np.isfinite(whole) & (seen != 0)
        np.testing.assert_array_equal(seen[kept], whole[kept])
        assert (np.abs(seen[kept]) > limits.limit).all()
        assert 0.02 < kept.sum() / np.isfinite(whole).sum() < 0.8
        np.testing.assert_array_equal(np.isnan(seen), np.isnan(whole))
    assert limits.in_words in display.text
    display.calibrated.setChecked(False)
    assert_same(levels(layer), stored(runs.calibrated))
    assert "not calibrated" in display.text and limits.in_words not in display.text
    blank = levels(layer)
    display.calibrated.setChecked(True)
    assert (levels(layer)[0] != blank[0]).sum() > 100
    assert limits.in_words in display.text


def test_full_colour_is_the_same_with_and_without(
    viewer: Any, display: MapDisplay, runs: Any
) -> None:
    layer = shown(viewer, display, runs.calibrated)
    before = tuple(layer.contrast_limits)
    display.calibrated.setChecked(False)
    assert tuple(layer.contrast_limits) == before == (-1.0, 1.0)


@pytest.mark.parametrize(("name", "said"), [("plain", ""), ("useless", "in 10 % of tiles")])
def test_without_useful_limits_all_of_a_map_is_shown(
    viewer: Any, display: MapDisplay, runs: Any, name: str, said: str
) -> None:
    layer = shown(viewer, display, getattr(runs, name))
    assert_same(levels(layer), stored(getattr(runs, name)))
    assert said in display.text and ("calibrated" in display.text) == bool(said)


def test_a_store_that_is_opened_is_shown_with_its_limits(
    viewer: Any, display: MapDisplay, runs: Any
) -> None:
    layers = read_stores(str(runs.calibrated.path))
    ((data, options, _),) = [x for x in layers if x[1].get("colormap") and x[1]["name"] != ""][:1]
    layer = viewer.add_layer(Image(data, **options))
    assert "calibrated: shown only above the strongest" in display.text
    assert (levels(layer)[0] == 0).sum() > (stored(runs.calibrated)[0] == 0).sum()
    display.calibrated.setChecked(False)
    assert_same(levels(layer), stored(runs.calibrated))


def test_the_pointer_tells_blank_from_no_influence(
    viewer: Any, display: MapDisplay, runs: Any, qtbot: Any
) -> None:
    layer = shown(viewer, display, runs.calibrated)
    reading = CursorReading(viewer)
    qtbot.addWidget(reading)
    whole = stored(runs.calibrated)[-1]
    place = np.argwhere((levels(layer)[-1] == 0) & (np.nan_to_num(whole) != 0))[0]
    at = layer.data_to_world(place * layer.downsample_factors[-1])
    viewer.cursor.position = at
    layer.data_level = len(layer.data) - 1
    reading.read()
    assert "blank, not above its calibrated limits" in reading.text()
    reading.disconnect_viewer()


def test_a_place_has_the_same_percentile_whatever_is_blank(
    viewer: Any, display: MapDisplay, runs: Any, qtbot: Any
) -> None:
    layer = shown(viewer, display, runs.calibrated)
    whole, seen = (np.abs(np.nan_to_num(x[-1])) for x in (stored(runs.calibrated), levels(layer)))
    places = np.argwhere(seen)
    of_whole, of_seen = (
        100 * np.searchsorted(np.sort(x[x > 0]), seen[seen > 0], "right") / (x > 0).sum()
        for x in (whole, seen)
    )
    # Where the rest makes the most of a difference.
    chosen = np.abs(of_whole - of_seen).argmax()
    assert abs(of_whole - of_seen)[chosen] > 2
    place, rank = places[chosen], int(of_whole[chosen])
    viewer.cursor.position = layer.data_to_world(place * layer.downsample_factors[-1])
    layer.data_level = len(layer.data) - 1
    readings = [CursorReading(viewer) for _ in range(2)]  # one that begins blank, one that does not
    for reading in readings:
        qtbot.addWidget(reading)
    readings[0].read()
    display.calibrated.setChecked(False)
    for reading in readings:
        reading.read()
        assert f"({rank}" in reading.text()
        reading.disconnect_viewer()
    display.calibrated.setChecked(True)
    fresh = CursorReading(viewer)
    qtbot.addWidget(fresh)
    fresh.read()
    assert fresh.text() == readings[0].text()
    fresh.disconnect_viewer()


def panels(path: Path) -> Any:
    """A figure without titles and legend, which have as many lines as they need."""
    return np.asarray(Picture.open(path).convert("RGB"))[150:550]


def test_masks_and_figures_are_blank_as_well(runs: Any, tmp_path: Path) -> None:
    run = runs.calibrated
    (run_map,) = run.maps.values()
    weak = ColourLimit(1e-12, "this map")  # whatever is shown is strong
    shares = []
    for calibrated in (True, False):
        (path,) = write_masks(run, run_map, tmp_path / str(calibrated), weak, calibrated)
        mask = np.asarray(Picture.open(path))
        shares.append((mask == 255).sum() / (mask != 127).sum())
    assert 0 < shares[0] < 0.6 * shares[1]
    slide, region = ArraySlide([PIXELS], mpp=MPP, name="case"), (0, 0, 300, 250)
    pictures = []
    for calibrated in (True, False):
        path = tmp_path / f"{calibrated}.png"
        limit = ColourLimit(run_map.calibration.limit, "this map")
        comparison_figure(slide, run, [list(run.maps)], region, path, limit, calibrated)
        pictures.append(panels(path))
    # Of the two panels the second one differs.
    differs = (pictures[0] != pictures[1]).any(-1)
    assert not differs[:, :470].any() and differs[:, 470:].mean() > 0.1


def test_maps_are_compared_with_limits_for_all_or_for_none(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (limited,), (plain,) = (run.maps.values() for run in (runs.calibrated, runs.plain))
    slide, region = ArraySlide([PIXELS], mpp=MPP, name="case"), (0, 0, 300, 250)
    limit, tiles = ColourLimit(limited.calibration.limit, "this map"), runs.calibrated.tiles

    def drawn(calibrated: bool, **maps: Any) -> Any:
        monkeypatch.setattr(Run, "maps", maps)
        monkeypatch.setattr(Run, "tiles", tiles.assign(**{f"se_{key}": 0.0 for key in maps}))
        path = tmp_path / "figure.png"
        comparison_figure(slide, runs.calibrated, [list(maps)], region, path, limit, calibrated)
        return panels(path)

    both = {"one": limited, "other": plain}
    np.testing.assert_array_equal(drawn(True, **both), drawn(False, **both))
    assert (drawn(True, one=limited) != drawn(False, one=limited)).any()
