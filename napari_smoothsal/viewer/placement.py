"""Where a map lies in the world of the layer whose slide it explains.

Our own slide layers stand in micrometres and need nothing of this; a layer that somebody else
added may be scaled in pixels or millimetres, moved, rotated or sheared, and a map must lie on
its tissue all the same.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from napari_smoothsal.viewer.slide_source import source_of

Pair = tuple[float, float]
Part = Literal["view", "region", "slide"]
"""What of a slide is explained at once."""


def resolution_of(layer: Any) -> Pair | None:
    """(y, x) micrometres per level-0 px that a layer states; None where it states none."""
    source = source_of(layer)
    if source is not None:
        return source.mpp
    factors = []
    for unit in layer.units[-2:]:
        try:
            factors.append(float((1 * unit).to("um").magnitude))
        except Exception:  # noqa: BLE001 - pint has no common base for "not a length"
            return None
    y, x = (abs(float(s)) * f for s, f in zip(layer.scale[-2:], factors, strict=True))
    return (y, x)


def placement_in_micrometres(picture: Placed) -> dict[str, Any]:
    """Layer options that place a map, or cells, on their slide in micrometres."""
    return {
        "scale": picture.scale_um,
        "translate": picture.translate_um,
        "units": ("um", "um"),
    }


class Placed(Protocol):
    """Anything with a place: (y, x) of a pixel, and of the centre of the first one."""

    @property
    def scale_um(self) -> Pair: ...

    @property
    def translate_um(self) -> Pair: ...


def placement_on(layer: Any, picture: Placed, mpp: Pair) -> dict[str, Any]:
    """Layer options that place a map, or a mask, on the pixels of another layer.

    Parameters
    ----------
    layer
        The layer that was explained.
    picture
        Placed in micrometres from level-0 pixel (0, 0).
    mpp
        (y, x) micrometres per level-0 px with which it was explained.
    """
    pixels = np.array(picture.scale_um) / mpp
    corner = np.array(picture.translate_um) / mpp
    return {
        "scale": tuple(np.array(layer.scale[-2:]) * pixels),
        # napari applies translate before affine, so the affine is taken off again.
        "translate": tuple(layer.affine.inverse(np.array(layer.data_to_world(corner))[-2:])),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": tuple(layer.units[-2:]),
    }
