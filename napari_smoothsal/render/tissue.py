"""A picture of the slide with its tissue outlined, to be looked at before a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.render.colours import AMBER_TEAL
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.tissue import TissueMask

LONGEST_PX = 1600


def write_tissue_picture(slide: Slide, tissue: TissueMask, path: Path) -> None:
    """Write the slide's thumbnail, glass paled and tissue outlined."""
    picture = slide.thumbnail(LONGEST_PX)
    h, w = picture.shape[:2]
    mask = np.asarray(Image.fromarray(tissue.mask).resize((w, h), Image.Resampling.NEAREST))
    shown = np.where(mask[..., None], picture, 255 - (255 - picture) // 3).astype(np.uint8)
    outline = binary_dilation(mask, iterations=2) & ~mask
    shown[outline] = np.rint(255 * np.array(AMBER_TEAL.against)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(shown).save(path)
    except ValueError as error:
        raise SettingError(
            f"{path.name!r}: no picture format of that name; give a .png or .jpg file"
        ) from error
