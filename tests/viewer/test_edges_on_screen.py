"""The overlay lies on the tissue to one screen pixel, at every level, growing or complete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication
from scipy.ndimage import binary_dilation, binary_erosion
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.specs import SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs import Run, explain_slide
from napari_smoothsal.runs.layout import BAND
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.map_picture import pictures_of
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.slide_layer import slide_layer_data
from napari_smoothsal.viewer.slide_source import SlideSource

pytestmark = pytest.mark.gl

MPP = 0.5
STRIDE = 2
HEIGHT, WIDTH = 1054, 4218
"""Two bands of chunks high and three levels wide, in pixels of the map, and padded."""
SQUARE = 96
"""Whole pixels of every level of the map."""
SPEC = SaliencySpec(layer="0", denoising="original", method="activation_x_gradient", samples=0)
ZOOMS = {0: 6.3, 1: 0.43, 2: 0.21}
"""Screen pixels per micrometre by the map's level that they show."""
CENTRE = (240.3, 900.7)
"""Of the view, in micrometres: no whole number of pixels, and on the end of the first band."""


def model_of_darkness() -> Model:
    """Adds the darkness of disjoint 2 x 2 blocks up: a block's share of the logit is its own."""
    module = nn.Sequential(
        nn.Conv2d(3, 1, STRIDE, stride=STRIDE, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    card = ModelCard(
        name="darkness",
        kind="classification",
        class_names=("light", "dark"),
        default_target="dark",
        input_size=192,
        input_mpp=MPP,
        mean=(1.0, 1.0, 1.0),
        std=(1.0, 1.0, 1.0),
    )
    return Model(module.eval(), card)


def squares() -> NDArray[np.uint8]:
    """Black squares of several distances on white."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for y in range(SQUARE, HEIGHT - SQUARE, 2 * SQUARE):
        for x in range(SQUARE, WIDTH - SQUARE, 3 * SQUARE):
            picture[y : y + SQUARE, x : x + SQUARE] = 0
    return picture


def seen(viewer: Any) -> NDArray[np.float64]:
    for _ in range(10):
        QApplication.processEvents()
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3] / 255.0


def assert_on_the_squares(viewer: Any, layer: Any, zoom: float, until_um: float) -> None:
    """What the map colours is what is black without it, but for its outermost screen pixel."""
    viewer.scene.camera.center = (0.0, *CENTRE)
    viewer.scene.camera.zoom = zoom
    layer.visible = False
    black = seen(viewer).max(axis=2) < 0.5
    until = round((until_um - CENTRE[0]) * zoom + len(black) / 2)
    black[max(0, until) :] = False
    layer.visible = True
    coloured = np.ptp(seen(viewer), axis=2) > 0.2
    assert 0.002 < coloured.mean() < 0.5
    assert not (coloured & ~binary_dilation(black)).any()
    assert not (binary_erosion(black) & ~coloured).any()


def show(overlay: Overlay, run: Run) -> Any:
    (picture,) = pictures_of(run)
    overlay.show(picture, complete=run.status == "complete")
    overlay.layer.opacity = 1.0
    overlay.layer.contrast_limits = (-1e-6, 1e-6)  # whatever is not zero in full colour
    return overlay.layer


def test_edges_of_the_map_lie_on_edges_of_the_tissue(
    make_napari_viewer: Callable[..., Any], tmp_path: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    viewer.theme = "light"  # beside the slide as white as on it
    slide = ArraySlide([squares()], (MPP, MPP))
    source = SlideSource(Path("nowhere"), (MPP, MPP), (HEIGHT, WIDTH))
    data, options, _ = slide_layer_data(slide, source, "squares")
    overlay = Overlay(viewer, viewer.add_image(data, **options), (MPP, MPP), part="slide")
    done: list[int] = []

    def explained(stop: Callable[[], bool]) -> Run:
        return explain_slide(
            slide,
            model_of_darkness(),
            [SPEC],
            tmp_path / "squares.smoothsal.zarr",
            tiling=Tiling(tissue="all"),
            progress=lambda p: done.append(100 * p.done // p.total),
            stop=stop,
        )

    partial = explained(lambda: bool(done) and done[-1] > 80)
    assert partial.status == "running"
    layer = show(overlay, partial)
    # The first band ends within a row of squares.
    for level, zoom in ZOOMS.items():
        assert_on_the_squares(viewer, layer, zoom, BAND * STRIDE * MPP)
        assert layer.data_level == level
    complete = explained(lambda: False)
    assert complete.status == "complete" and show(overlay, complete) is layer
    for level, zoom in ZOOMS.items():
        assert_on_the_squares(viewer, layer, zoom, HEIGHT * MPP)
        assert layer.data_level == level
