"""The part of a slide that is on the screen, in level-0 px.

From the camera and the canvas: a layer's ``corner_pixels`` cover what is loaded, which is more.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Region = tuple[int, int, int, int]


def field_of_view(viewer: Any, layer: Any, size: tuple[int, int] | None = None) -> Region | None:
    """(x, y, w, h) of the level-0 pixels that are in view, or None where none is.

    Parameters
    ----------
    viewer
        A 2-D napari viewer.
    layer
        The slide's layer, with any scale, translate, rotation and shear.
    size
        (height, width) of the slide without padding; None: the layer's.
    """
    canvas_h, canvas_w = viewer.canvas.size
    camera = viewer.scene.camera
    centre_y, centre_x = camera.center[-2:]
    half_h, half_w = canvas_h / 2 / camera.zoom, canvas_w / 2 / camera.zoom
    corners = np.array(
        [
            layer.world_to_data((centre_y + a * half_h, centre_x + b * half_w))[:2]
            for a, b in itertools.product((-1, 1), repeat=2)
        ]
    )
    height, width = size or layer_size(layer)
    # A pixel reaches half a pixel around its centre, which is where world coordinates put it.
    top, left = (max(0, math.floor(v + 0.5)) for v in corners.min(axis=0))
    below, right = corners.max(axis=0)
    bottom = min(height, math.ceil(below + 0.5))
    end = min(width, math.ceil(right + 0.5))
    if bottom <= top or end <= left:
        return None
    return (left, top, end - left, bottom - top)


SHARE = 0.6
"""Of the canvas that is filled by what is looked at."""


def look_at(
    viewer: Any, start: NDArray[np.float64], end: NDArray[np.float64], share: float = SHARE
) -> None:
    """Move and zoom until a box, given by two corners in the world, fills most of the canvas."""
    spans = np.abs(end - start)
    camera, canvas = viewer.scene.camera, viewer.canvas.size
    camera.center = (0.0, *((start + end) / 2))
    camera.zoom = share * min(
        size / max(span, 1e-9) for size, span in zip(canvas, spans, strict=True)
    )


def layer_size(layer: Any) -> tuple[int, int]:
    """(height, width) of a layer's finest level."""
    shape = layer.level_shapes[0] if layer.multiscale else layer.data.shape
    return (int(shape[0]), int(shape[1]))
