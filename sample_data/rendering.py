"""From a layout to pixels: nuclei, dyes, light, focus and camera, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_smoothsal.sample_data.noise import FibreField, enlarge, ramp, smooth_noise
from napari_smoothsal.sample_data.nuclei import Nucleus, scatter_nuclei
from napari_smoothsal.sample_data.painting import NucleusPainter, paint_ground
from napari_smoothsal.sample_data.stain import Stain
from napari_smoothsal.sample_data.tissue_model import STEP_UM, Layout


@dataclass(frozen=True)
class Optics:
    """How the section was stained and photographed.

    Parameters
    ----------
    unevenness
        Relative variation of the amount of dye over the section.
    blur_um
        Width (standard deviation) of the blur where the focus is worst.
    sharpness_um
        Blur everywhere: the objective's.
    noise
        Standard deviation of the camera's noise, of 255.
    """

    unevenness: float = 0.09
    blur_um: float = 0.8
    sharpness_um: float = 0.22
    noise: float = 1.2


def render(
    layout: Layout,
    seed: int | tuple[int, ...],
    mpp: float,
    stain: Stain,
    optics: Optics,
    tumour_scale: float = 1.0,
) -> tuple[NDArray[np.uint8], list[Nucleus]]:
    """Draw a layout as an H&E-stained section in transmitted light.

    Parameters
    ----------
    layout
        What tissue lies where.
    seed
        Decides everything that the layout leaves open. The same seed gives the same bytes.
    mpp
        Micrometres per pixel.
    stain, optics
        Colours and imaging.
    tumour_scale
        Size of the tumour's nuclei relative to the usual.

    Returns
    -------
    image : numpy.ndarray
        uint8 (H, W, 3).
    nuclei : list of Nucleus
        Every nucleus drawn.
    """
    rng = np.random.default_rng(seed)
    shape = (round(layout.size_um[0] / mpp), round(layout.size_um[1] / mpp))
    contours = layout.fibre_contours
    if contours is not None:
        contours = enlarge(contours, STEP_UM / mpp, shape)
    fibres = FibreField(rng, shape, mpp, rng.uniform(0, np.pi), contours)
    nuclei = scatter_nuclei(rng, layout, fibres, tumour_scale)
    haematoxylin, eosin = paint_ground(rng, layout, fibres, nuclei, shape, mpp)
    painter = NucleusPainter(rng, mpp)
    for nucleus in nuclei:
        painter.paint(nucleus, haematoxylin, eosin)
    haematoxylin *= 1 + np.float32(optics.unevenness) * smooth_noise(rng, shape, mpp, 220.0)
    eosin *= 1 + np.float32(optics.unevenness) * smooth_noise(rng, shape, mpp, 180.0)
    focus = ramp(smooth_noise(rng, shape, mpp, 260.0), 0.9, 2.2)
    image = stain.colour(haematoxylin, eosin)
    del haematoxylin, eosin
    shading = 1 + np.float32(0.006) * smooth_noise(rng, shape, mpp, 400.0)
    for channel in range(3):
        plane = ndimage.gaussian_filter(image[..., channel], optics.sharpness_um / mpp)
        if optics.blur_um > 0 and float(focus.max()) > 0:
            blurred = ndimage.gaussian_filter(plane, optics.blur_um / mpp)
            plane += focus * (blurred - plane)
        plane *= shading
        if optics.noise > 0:
            # Light's noise falls with its amount.
            noise = rng.standard_normal(shape, dtype=np.float32)
            plane += noise * np.float32(optics.noise) * np.sqrt(plane.clip(0) / 255)
        image[..., channel] = plane
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), nuclei
