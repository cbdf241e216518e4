"""Colours for the screen: from those of the scanner's ICC profile to sRGB.

Display only. Models were trained on the pixels as they are in the file, and the engine reads those.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_smoothsal.viewer.plugin_settings import setting

Pixels = NDArray[np.uint8]
Correction = Callable[[Pixels], Pixels]
"""From (h, w, 3) to (h, w, 3), from any thread."""

LATTICE = 17
UNSEEN = 1
"""Grey levels: a profile that moves no colour further is sRGB already, and costs only time."""


def wanted() -> bool:
    """Whether the user wants slides corrected; napari's settings of this plugin say so."""
    return bool(setting("slides", "correct_colours", default=True))


def correction(profile: bytes | None) -> Correction | None:
    """What brings colours of an ICC profile to sRGB, by the profile's own rendering intent.

    None where there is no profile, none of RGB that can be read, or one of sRGB itself.
    """
    if profile is None:
        return None
    try:
        scanner = ImageCms.getOpenProfile(BytesIO(profile))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(scanner))
        screen = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(scanner, screen, "RGB", "RGB", intent)
    except (ImageCms.PyCMSError, ValueError):  # the header may name an intent that is none
        return None

    def corrected(pixels: Pixels) -> Pixels:
        image = ImageCms.applyTransform(Image.fromarray(pixels), transform)
        assert image is not None  # only in place there is none
        return np.asarray(image)

    return corrected if _seen(corrected) else None


def _seen(correct: Correction) -> bool:
    values = np.linspace(0, 255, LATTICE).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(1, -1, 3)
    moved = np.abs(correct(colours).astype(np.int16) - colours)
    return bool(moved.max() > UNSEEN)
