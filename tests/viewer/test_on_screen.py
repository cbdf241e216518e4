"""What the eye sees, in a real window: registration and transparency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.specs import SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs import explain_slide
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.map_picture import pictures_of
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.slide_layer import slide_layer_data
from napari_smoothsal.viewer.slide_source import SlideSource

pytestmark = pytest.mark.gl

MPP = 0.5
HEIGHT, WIDTH = 300, 2500
DOT = (141, 1230)
HALF = 4
"""The dot is a square of 9 px: it survives the reduction of the zoomed-out slide."""


def positive_model() -> Model:
    """Positive symmetric kernels, stride 2 and 4: the dot's contribution peaks on the dot."""
    module = nn.Sequential(
        nn.Conv2d(3, 2, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(2, 2, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 2),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.1)
    card = ModelCard(
        name="positive",
        kind="classification",
        class_names=("a", "b"),
        default_target="b",
        input_size=128,
        input_mpp=MPP,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    return Model(module.eval(), card)


@pytest.fixture(scope="module")
def dotted() -> NDArray[np.uint8]:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    y, x = DOT
    picture[y - HALF : y + HALF + 1, x - HALF : x + HALF + 1] = 255
    return picture


@pytest.fixture
def shown(
    make_napari_viewer: Callable[..., Any], dotted: NDArray[np.uint8], tmp_path: Path
) -> tuple[Any, Any, Any]:
    """A viewer with the dotted slide and its map."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    slide = ArraySlide([dotted], (MPP, MPP))
    source = SlideSource(Path("nowhere"), (MPP, MPP), (HEIGHT, WIDTH))
    data, options, _ = slide_layer_data(slide, source, "dotted")
    slide_layer = viewer.add_image(data, **options)
    run = explain_slide(
        slide,
        positive_model(),
        [SaliencySpec(layer="0", denoising="original", method="activation_x_gradient", samples=0)],
        tmp_path / "dot.smoothsal.zarr",
        tiling=Tiling(tissue="all"),
        progress=False,
    )
    assert run.status == "complete"
    overlay = Overlay(viewer, slide_layer, (MPP, MPP), part="slide")
    (picture,) = pictures_of(run)
    overlay.show(picture)
    layer = overlay.layer
    assert layer.multiscale and len(layer.data) == 2
    strongest = float(np.nanmax(np.abs(layer.data[-1])))
    layer.contrast_limits_range = layer.contrast_limits = (-strongest, strongest)
    layer.opacity = 1.0
    return viewer, slide_layer, layer


def seen(viewer: Any, *layers: Any) -> NDArray[np.float64]:
    """The canvas with only these layers visible, float RGB."""
    for layer in viewer.layers:
        layer.visible = layer in layers
    for _ in range(10):
        QApplication.processEvents()
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3] / 255.0


def brightest(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """(y, x) of the centre of the brightest spot."""
    red = picture[..., 0]
    assert red.max() > 0.5, "nothing is shown"
    return np.argwhere(red > 0.97 * red.max()).mean(axis=0)


def look(viewer: Any, zoom: float) -> None:
    # Off centre, by no whole number of pixels.
    viewer.scene.camera.center = (0.0, DOT[0] * MPP + 3.3, DOT[1] * MPP - 5.7)
    viewer.scene.camera.zoom = zoom
    for _ in range(20):
        QApplication.processEvents()


@pytest.mark.parametrize(("zoom", "level"), [(12.0, 0), (0.4, 1)])
def test_the_peak_of_the_map_lies_on_the_dot(
    shown: tuple[Any, Any, Any], zoom: float, level: int
) -> None:
    viewer, slide_layer, map_layer = shown
    look(viewer, zoom)
    dot = brightest(seen(viewer, slide_layer))
    peak = brightest(seen(viewer, map_layer))
    assert map_layer.data_level == level
    layer_px_on_screen = map_layer.scale[0] * 2**level * zoom
    half_a_screen_px = 0.5
    assert np.abs(peak - dot).max() <= layer_px_on_screen / 2 + half_a_screen_px


def test_zero_is_clear_and_what_was_not_computed_is_veiled(
    make_napari_viewer: Callable[..., Any],
) -> None:
    from napari_smoothsal.viewer.ways import TINT, colormap_of

    viewer = make_napari_viewer(show=True)
    rng = np.random.default_rng(0)
    slide = viewer.add_image(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), rgb=True)
    values = np.zeros((64, 64), np.float32)
    values[:16] = np.nan
    values[30:34, 30:34] = 1
    layer = viewer.add_image(
        values,
        colormap=colormap_of(TINT, "amber and teal"),
        contrast_limits=(-1, 1),
        blending="translucent",
    )
    viewer.reset_view()
    with_map, without = seen(viewer, slide, layer), seen(viewer, slide)
    changed = np.abs(with_map - without).max(axis=2) > 2 / 255
    # A quarter of the rows, and the 4 x 4 px; the rest is untouched.
    share = changed.mean() / _share_of_slide(without)
    assert share == pytest.approx(0.25 + 16 / 64**2, abs=0.02)


def _share_of_slide(picture: NDArray[np.float64]) -> float:
    return float((picture.max(axis=2) > 0.02).mean())


def test_a_growing_map_shows_at_every_level(shown: tuple[Any, Any, Any], tmp_path: Path) -> None:
    viewer, _, map_layer = shown
    coarsest = map_layer.data[-1]
    kept = coarsest.copy()
    coarsest[...] = np.nan
    look(viewer, 0.4)
    map_layer.refresh(extent=False)
    assert np.ptp(seen(viewer, map_layer)[..., 0] - seen(viewer, map_layer)[..., 1]) < 0.02  # grey
    coarsest[...] = kept
    map_layer.refresh(extent=False)
    assert seen(viewer, map_layer)[..., 0].max() > 0.5


def test_the_dock_opens_from_the_plugin_menu_and_leaves_nothing(
    make_napari_viewer_proxy: Callable[..., Any], qtbot: Any
) -> None:
    import psutil

    viewer = make_napari_viewer_proxy(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
    qtbot.waitUntil(lambda: dock.session.engine.ready, timeout=60_000)
    engine = dock.session.engine
    number = engine.process_id
    assert psutil.pid_exists(number)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: engine.process_id == 0, timeout=15_000)
    assert not psutil.pid_exists(number)


def test_the_sample_slide_comes_with_the_saliency_of_a_part(
    make_napari_viewer: Callable[..., Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_smoothsal.viewer import samples

    monkeypatch.setattr(samples, "PART_UM", (samples.PART_UM[0], 40.0))
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-smoothsal", "slide_with_saliency")
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)
    slide, layer = viewer.layers
    assert slide.name == "sample slide (synthetic)"
    assert "activation x gradient" in layer.name
    (y, x), width = samples.PART_UM
    assert abs(layer.extent.world[:, 1].mean() - x) < 8
    assert abs(layer.extent.world[:, 0].mean() - y) < 8
    assert abs(np.ptp(layer.extent.world[:, 1]) - width) < 12
    # The colours are seen on the tissue.
    with_map, without = seen(viewer, slide, layer), seen(viewer, slide)
    assert (np.abs(with_map - without).max(axis=2) > 0.05).mean() > 0.02
