"""Which palette stands out from a slide's own colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_smoothsal.render.colours import PALETTES, Palette

LEAST_DIFFERENCE = 20.0
"""CIEDE2000; 1 is just noticed side by side, 10 at a glance."""
NEAREST = 1.0
"""Per cent of the tissue that may be nearer: specks and ink."""
LEAST_CHROMA = 6.0
"""CIELAB; less is glass."""
MOST_PIXELS = 5_000


def difference_from(palette: Palette, picture: NDArray[np.uint8]) -> float:
    """How far a palette's colours are from those of the tissue in a picture.

    Parameters
    ----------
    palette
        Its four colours count, of which the nearest decides.
    picture
        (h, w, 3), of a slide, as small as one likes.

    Returns
    -------
    float
        CIEDE2000 difference that 99 % of the tissue's pixels keep; infinite without tissue.
    """
    pixels = picture.reshape(-1, 3)
    lab = rgb2lab(pixels[:: max(1, len(pixels) // MOST_PIXELS)][None] / 255.0)[0]
    tissue = lab[np.hypot(lab[:, 1], lab[:, 2]) > LEAST_CHROMA]
    if not len(tissue):
        return float("inf")
    colours = (palette.supports, palette.supports_fully, palette.against, palette.against_fully)
    shown = rgb2lab(np.array([colours]))[0]
    differences: Callable[..., NDArray[np.float64]] = deltaE_ciede2000
    nearest = [np.percentile(differences(tissue, colour[None]), NEAREST) for colour in shown]
    return float(min(nearest))


def standing_out(picture: NDArray[np.uint8]) -> Palette:
    """The first palette that differs enough from a slide's tissue, else the one that does most."""
    found = {name: difference_from(palette, picture) for name, palette in PALETTES.items()}
    enough = [name for name, difference in found.items() if difference >= LEAST_DIFFERENCE]
    return PALETTES[enough[0] if enough else max(found, key=lambda name: found[name])]
