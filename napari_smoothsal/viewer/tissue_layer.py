"""The outline of the tissue a run will look at, shown before it starts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from napari_smoothsal.render.colours import AMBER_TEAL
from napari_smoothsal.viewer.messages import TissueFound
from napari_smoothsal.viewer.placement import Pair, placement_on

NAME = "tissue that is explained"


def show_tissue(viewer: Any, slide_layer: Any, mpp: Pair, found: TissueFound) -> Any:
    """Outline the tissue on its slide; an earlier outline is brought up to date.

    Parameters
    ----------
    viewer, slide_layer
        Where it is shown, and the layer that is explained.
    mpp
        (y, x) micrometres per level-0 px with which it is.
    found
        The mask.
    """
    mask = np.asarray(Image.open(io.BytesIO(found.mask_png)).convert("L")) > 0
    placement = placement_on(slide_layer, found, mpp)
    for layer in viewer.layers:
        if layer.name == NAME:
            layer.data = mask.astype(np.uint8)
            for name, value in placement.items():
                setattr(layer, name, value)
            return layer
    layer = viewer.add_labels(
        mask.astype(np.uint8),
        name=NAME,
        colormap={0: (0, 0, 0, 0), 1: (*AMBER_TEAL.against, 1), None: (0, 0, 0, 0)},
        opacity=0.8,
        **placement,
    )
    layer.contour = 1
    layer.editable = False
    return layer
