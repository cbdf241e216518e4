"""``gaussian_blur``: the control, a blur of the finished map that knows nothing of strides."""

from __future__ import annotations

import torch
from pydantic import Field
from scipy.ndimage import gaussian_filter

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import DENOISINGS, Denoising


class BlurOptions(Settings):
    """What the blur can be told."""

    sigma: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Standard deviation of the Gaussian, in pixels of the layer.",
    )


def blurred(maps: torch.Tensor, sigma: float) -> torch.Tensor:
    """Maps (B, C, h, w), each channel blurred; borders are reflected about their last pixels."""
    values = gaussian_filter(maps.numpy(), (0, 0, sigma, sigma), mode="mirror")
    return torch.from_numpy(values)


def _smooth(maps: torch.Tensor, options: Settings) -> torch.Tensor:
    assert isinstance(options, BlurOptions)
    return blurred(maps, options.sigma)


GAUSSIAN_BLUR = DENOISINGS.register(
    Denoising(
        name="gaussian_blur",
        title="The original's map, blurred: the control that any denoising has to beat",
        smooth=_smooth,
        options=BlurOptions,
    )
)
