"""The field of view in level-0 px, on a viewer without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_smoothsal.viewer.field_of_view import field_of_view


@pytest.fixture
def viewer() -> Any:
    model = ViewerModel()
    model.canvas.size = (400, 600)
    return model


def look(viewer: Any, centre: tuple[float, float], zoom: float) -> None:
    viewer.scene.camera.center = (0.0, *centre)
    viewer.scene.camera.zoom = zoom


def slide(**options: Any) -> Image:
    levels = [np.zeros((2048 >> k, 4096 >> k, 3), np.uint8) for k in range(3)]
    return Image(levels, rgb=True, multiscale=True, contrast_limits=(0, 255), **options)


def test_at_one_screen_pixel_per_slide_pixel(viewer: Any) -> None:
    layer = viewer.add_layer(slide(scale=(0.5, 0.5), units=("um", "um")))
    look(viewer, (500.0, 1000.0), 2.0)
    # 600 x 400 screen px around the centre of level-0 pixel (1000, 2000).
    assert field_of_view(viewer, layer) == (1700, 800, 601, 401)


@pytest.mark.parametrize("zoom", [0.2, 1.0, 8.0])
def test_its_pixels_cover_the_canvas_and_hardly_more(viewer: Any, zoom: float) -> None:
    layer = viewer.add_layer(slide(scale=(0.25, 0.25), translate=(7.0, -3.0)))
    look(viewer, (263.1, 509.3), zoom)
    region = field_of_view(viewer, layer)
    assert region is not None
    x, y, w, h = region
    want_x0 = max(0.0, (509.3 - 300 / zoom + 3) / 0.25)
    want_y1 = min(2048.0, (263.1 + 200 / zoom - 7) / 0.25)
    assert x == pytest.approx(want_x0, abs=1)
    assert y + h == pytest.approx(want_y1, abs=1)
    assert x >= 0 and y >= 0 and x + w <= 4096 and y + h <= 2048


def test_padding_is_not_part_of_the_slide(viewer: Any) -> None:
    layer = viewer.add_layer(slide())
    look(viewer, (1024.0, 2048.0), 0.01)
    assert field_of_view(viewer, layer, (2000, 4001)) == (0, 0, 4001, 2000)


def test_nothing_where_the_slide_is_out_of_sight(viewer: Any) -> None:
    layer = viewer.add_layer(slide())
    look(viewer, (-5000.0, 0.0), 1.0)
    assert field_of_view(viewer, layer) is None


def test_of_a_turned_layer_it_is_the_box_around(viewer: Any) -> None:
    layer = viewer.add_layer(slide(rotate=90))
    centre = layer.data_to_world((1000.0, 2000.0))
    look(viewer, (centre[0], centre[1]), 1.0)
    region = field_of_view(viewer, layer)
    assert region is not None
    # Turned by 90 degrees: the canvas' height lies along the slide's width.
    assert region[2:] == (401, 601)
    assert region[0] == pytest.approx(1800, abs=1) and region[1] == pytest.approx(700, abs=1)
