"""``gaussian_blur``: the control, a blur of the finished map that knows nothing of strides."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from scipy.ndimage import gaussian_filter

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.denoise.base import DENOISINGS, Denoising, MatchingOptions

WIDEST = 64.0
"""Layer px: nothing of a map is left that a wider blur would take."""

_HALVINGS = 16


class BlurOptions(MatchingOptions):
    """What the blur can be told."""

    sigma: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Standard deviation of the Gaussian, in pixels of the layer. With `match` it "
        "is found for each tile.",
    )

    @model_validator(mode="after")
    def _sigma_is_found(self) -> BlurOptions:
        if self.match is not None and "sigma" in self.model_fields_set:
            raise ValueError(
                f"sigma = {self.sigma:g} and match = {self.match!r} exclude each other: matching "
                "finds the sigma of each tile; leave one of them out"
            )
        return self


def blurred(maps: torch.Tensor, sigma: float) -> torch.Tensor:
    """Maps (B, C, h, w), each channel blurred; borders are reflected about their last pixels."""
    values = gaussian_filter(maps.numpy(), (0, 0, sigma, sigma), mode="mirror")
    return torch.from_numpy(values)


def blurred_to(maps: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur each map until its total variation is what is wanted.

    Parameters
    ----------
    maps
        (B, C, h, w) of the original.
    wanted
        (B,) total variations, by `smoothness`; a map that is smoother already stays as it is.

    Returns
    -------
    maps, sigma
        (B, C, h, w), and (B,) standard deviations in layer px, 0 where nothing was done. NaN
        where a map or what is wanted is not finite.
    """
    result, sigmas = maps.clone(), torch.zeros(len(maps))
    for row in range(len(maps)):
        before = smoothness(maps[row : row + 1])[0]
        if not (torch.isfinite(wanted[row]) and torch.isfinite(before)):
            result[row], sigmas[row] = torch.nan, torch.nan
            continue
        if before <= wanted[row]:
            continue
        low, high = 0.0, 0.25
        while high < WIDEST and _roughness(maps[row], high) > wanted[row]:
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if _roughness(maps[row], middle) > wanted[row]:
                low = middle
            else:
                high = middle
        result[row], sigmas[row] = blurred(maps[row : row + 1], high)[0], high
    return result, sigmas


def smoothness(maps: torch.Tensor) -> torch.Tensor:
    """(B,) total variations of maps (B, C, h, w) at the scale of their largest value.

    The published measure calls channels flat whose values are below 1e-6, which those of a faint
    gradient all are. Tile by tile: in a batch its sums might be taken in another order.
    """
    largest = maps.abs().amax((1, 2, 3), keepdim=True)
    scaled = torch.where(largest > 0, maps / largest, maps)
    return torch.cat([total_variation(tile[None]) for tile in scaled])


def _roughness(maps: torch.Tensor, sigma: float) -> float:
    return float(smoothness(blurred(maps[None], sigma))[0])


def _smooth(maps: torch.Tensor, options: Settings, like: torch.Tensor | None) -> torch.Tensor:
    assert isinstance(options, BlurOptions)
    if like is None:
        return blurred(maps, options.sigma)
    return blurred_to(maps, smoothness(like))[0]


GAUSSIAN_BLUR = DENOISINGS.register(
    Denoising(
        name="gaussian_blur",
        title="The original's map, blurred: the control that any denoising has to beat",
        smooth=_smooth,
        options=BlurOptions,
    )
)
