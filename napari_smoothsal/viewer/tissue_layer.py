"""The outline of the tissue a run will look at, shown before it starts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_smoothsal.render.colours import AMBER_TEAL
from napari_smoothsal.viewer.placement import Pair, placement_on
from napari_smoothsal.viewer.told import TissueFound

NAME = "tissue that is explained"


def show_tissue(viewer: Any, slide_layer: Any, mpp: Pair, found: TissueFound) -> Any:
    """Outline the tissue on its slide; an earlier outline is used again.

    Parameters
    ----------
    viewer, slide_layer
        Where it is shown, and the layer that is explained.
    mpp
        (y, x) micrometres per level-0 px with which it is.
    found
        The mask.
    """
    from napari.utils import Colormap

    mask = np.asarray(Image.open(io.BytesIO(found.mask_png)).convert("L")) > 0
    outline = (mask & ~_eroded(mask)).astype(np.uint8)
    placement = placement_on(slide_layer, found, mpp)
    for layer in viewer.layers:
        if layer.name == NAME:
            layer.data = outline
            for name, value in placement.items():
                setattr(layer, name, value)
            layer.visible = True
            return layer
    # Not Labels: the first such layer holds the window for half a second, an image for a sixth.
    active = viewer.layers.selection.active
    layer = viewer.add_image(
        outline,
        name=NAME,
        colormap=Colormap(colors=[(0, 0, 0, 0), (*AMBER_TEAL.against, 1)], name="outline"),
        contrast_limits=(0, 1),
        interpolation2d="nearest",
        blending="translucent",
        opacity=0.8,
        **placement,
    )
    # The controls stay those of what was looked at.
    if active in viewer.layers:
        viewer.layers.selection.active = active
    return layer


def hide_tissue(viewer: Any) -> None:
    """Take the outline off: what was to be explained is, or is not to be any more.

    Its layer stays in the list for the next one. Where a layer is removed napari looks through all
    of Python's memory for what nobody needs, which holds the window for a fifth of a second.
    """
    for layer in viewer.layers:
        if layer.name == NAME and layer.visible:
            layer.visible = False


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels that touch what is none; beyond the mask's rim nothing is."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(inside & mask)
