"""What removes the checkerboard: one registered entry per file."""

from napari_smoothsal.denoise import backward_hook, original  # noqa: F401 - registers them
from napari_smoothsal.denoise.base import DENOISINGS, Denoising, denoised, options_of

__all__ = ["DENOISINGS", "Denoising", "denoised", "options_of"]
