"""Maps of a part of a slide: the legend says what grey is, and nothing is hatched beyond them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from viewer_pictures import tissue

from napari_smoothsal import SaliencySpec, Tiling, explain_slide, load_model
from napari_smoothsal.render.marks import marks_on
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.tile_states import tile_states
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.map_picture import pictures_of
from napari_smoothsal.viewer.marked_tiles import said_at
from napari_smoothsal.viewer.overlay import Overlay

MPP = (0.5, 0.5)
PIXELS = tissue(250, 300)
REGION = (90, 70, 100, 80)


@pytest.fixture(scope="module")
def explain(model_folder: Path, tmp_path_factory: Any) -> Any:
    model, folder = load_model(model_folder), tmp_path_factory.mktemp("stores")

    def of(region: tuple[int, int, int, int] | None) -> Run:
        slide = ArraySlide([PIXELS], mpp=MPP, name="case")
        first = explain_slide(
            slide, model, [], folder / f"{region} seen.zarr", region=region, progress=False,
            tiling=Tiling(tissue="all", overlap=0.5),
        )  # fmt: skip
        predicted = set(first.tiles.predicted)
        other = next(name for name in model.card.class_names if {name} != predicted)
        spec = SaliencySpec(layer="layer1", samples=0, target=other)
        return explain_slide(
            slide, model, [spec], folder / f"{region}.zarr", region=region, progress=False,
            tiling=Tiling(tissue="all", overlap=0.5),
        )  # fmt: skip

    return of


def shown(viewer: Any, display: MapDisplay, run: Run) -> Overlay:
    slide = viewer.add_layer(Image(PIXELS, rgb=True, scale=MPP, units=("um", "um")))
    overlay = Overlay(viewer, slide, MPP, part="region")
    overlay.show(pictures_of(run)[0])
    (run_map,) = run.maps.values()
    overlay.mark(tile_states(run, run_map))
    display.bring_up_to_date(overlay.layer)
    return overlay


def test_grey_is_also_what_was_not_asked_for(
    viewer: Any, display: MapDisplay, explain: Any
) -> None:
    shown(viewer, display, explain(REGION))
    assert "not computed (outside what was asked for, or without tissue)" in display.text
    shown(viewer, display, explain(None))
    assert "not computed" in display.text and "asked for" not in display.text


def test_the_same_places_are_hatched_as_in_a_figure_and_none_beyond_the_region(
    viewer: Any, display: MapDisplay, explain: Any
) -> None:
    run = explain(REGION)
    shown(viewer, display, run)
    (run_map,) = run.maps.values()
    y, x = (np.arange(float(n)) for n in PIXELS.shape[:2])
    figure = marks_on(tile_states(run, run_map), y, x).hatched
    left, top, width, height = REGION
    figure[:, :left] = figure[:, left + width :] = False  # a figure shows the region alone
    figure[:top] = figure[top + height :] = False
    x, y, w, h = REGION
    # A map ends with its own pixels, which are 4 px wide: figures show its region alone.
    sure, beyond = np.zeros_like(figure), np.ones_like(figure)
    sure[y + 4 : y + h - 4, x + 4 : x + w - 4] = True
    beyond[y - 4 : y + h + 4, x - 4 : x + w + 4] = False
    assert figure[sure].any() and not figure[beyond].any()
    said = [
        bool(said_at(viewer, (row * MPP[0], column * MPP[1])))
        for row, column in np.argwhere(sure | beyond)[::7]
    ]
    assert np.array_equal(said, figure[sure | beyond][::7])
