"""What removes the checkerboard: one registered entry per file."""

from napari_smoothsal.core.displacement import Displacement
from napari_smoothsal.denoise import (  # noqa: F401 - registers them
    backward_hook,
    bilinear_surrogate,
    centred_hook,
    forward_hook,
    gaussian_blur,
    original,
)
from napari_smoothsal.denoise.base import DENOISINGS, Denoising, denoised, options_of
from napari_smoothsal.denoise.bilinear_surrogate import no_surrogate
from napari_smoothsal.denoise.displacement import convolutions_of, displacement_of

__all__ = [
    "DENOISINGS",
    "Denoising",
    "Displacement",
    "convolutions_of",
    "denoised",
    "displacement_of",
    "no_surrogate",
    "options_of",
]
