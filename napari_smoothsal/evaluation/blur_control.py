"""The control that a denoising has to beat: the original's map, blurred until it is as smooth."""

from napari_smoothsal.denoise.gaussian_blur import WIDEST, blurred_to

__all__ = ["WIDEST", "blurred_to"]
