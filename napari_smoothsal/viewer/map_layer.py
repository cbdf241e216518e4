"""The layer of a map: diverging, transparent at zero and where nothing was computed."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.render.colours import STOPS
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.slide_source import METADATA

OPACITY = 0.75
"""Nuclei stay visible under the strongest colours."""


def diverging_colormap() -> Any:
    """The palette of ``render.colours`` as a napari colormap; NaN is transparent."""
    from napari.utils import Colormap

    return Colormap(
        colors=[colour for _, colour in STOPS],
        controls=[place for place, _ in STOPS],
        nan_color=(0.0, 0.0, 0.0, 0.0),
        name="saliency",
    )


def map_layer_options(picture: MapPicture, name: str, multiscale: bool) -> dict[str, Any]:
    """Options of the layer except its placement."""
    return {
        "name": name,
        "rgb": False,
        "multiscale": multiscale,
        "colormap": diverging_colormap(),
        "contrast_limits": (-picture.limit, picture.limit),
        "blending": "translucent",
        "opacity": OPACITY,
        "interpolation2d": "nearest",
        "metadata": {
            METADATA: {
                "map": picture.key,
                "title": picture.title,
                "legend": picture.legend,
                "limit": picture.limit,
            }
        },
    }


def is_map(layer: Any) -> bool:
    """Whether a layer is a saliency map of ours."""
    own = layer.metadata.get(METADATA)
    return isinstance(own, dict) and "legend" in own
