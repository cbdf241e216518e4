"""What a mask is held to beside the scores: its upsampling, its area, how rough it may be."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def shown_share(mask: torch.Tensor) -> float:
    """The share of a mask's cells that show more of the tile than they hide."""
    return float((mask > 0.5).double().mean())


class Upsampling:
    """Masks of few cells as large as a tile: bilinear, corner cells centred on corner pixels.

    As products of matrices, which are the same on every device and fast in both directions.

    Parameters
    ----------
    cells
        Of a mask along each side.
    like
        (H, W) whose size, device and format they get.
    blur_px
        Standard deviation of a Gaussian blur after it.
    """

    def __init__(self, cells: int, like: torch.Tensor, blur_px: float = 0.0) -> None:
        self._rows, self._columns = (
            _blurred(_interpolation(cells, side), blur_px).to(like) for side in like.shape
        )

    def __call__(self, masks: torch.Tensor) -> torch.Tensor:
        """(..., H, W) of (..., cells, cells)."""
        return self._rows @ masks @ self._columns.mT


def _interpolation(cells: int, side: int) -> torch.Tensor:
    """(side, cells) in float64: what each cell weighs at each pixel."""
    one_hot = torch.eye(cells, dtype=torch.float64)[None]
    weights = F.interpolate(one_hot, size=side, mode="linear", align_corners=True)
    return weights[0].mT


def _blurred(weights: torch.Tensor, sigma: float) -> torch.Tensor:
    """Rows, blurred; what lies beyond the first and last is like these."""
    if sigma == 0:
        return weights
    at = torch.arange(len(weights), dtype=torch.float64)
    radius = int(4 * sigma)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-offsets.double().square() / (2 * sigma**2))
    reached = (at.long()[:, None] + offsets).clamp(0, len(weights) - 1)
    return torch.einsum("k,skc->sc", kernel / kernel.sum(), weights[reached])


def total_variation(masks: torch.Tensor, beta: float) -> torch.Tensor:
    """(): mean |dy m|^beta + mean |dx m|^beta of a mask (m, m)."""
    return sum((_mean(step.abs() ** beta) for step in differences(masks)), masks.new_zeros(()))


def differences(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From row to row (..., H-1, W) and from column to column (..., H, W-1)."""
    return values.diff(dim=-2), values.diff(dim=-1)


def _mean(values: torch.Tensor) -> torch.Tensor:
    """Zero, where there are none."""
    return values.sum() / max(1, values.numel())


class BilateralVariation:
    """Total variation that is forgiven where the image has an edge.

    With the image's differences d, in each of its channels, a mask m and its upsampled M:

        1/2 (mean |dy m|^b + mean |dx m|^b + mean w_y |dy M|^b + mean w_x |dx M|^b),
        w = mean over channels of exp(-d^2 / sigma)

    Parameters
    ----------
    image
        (C, H, W) in the units of sigma.
    sigma
        Square of about the difference that is an edge.
    beta
        The exponent b.
    as_published
        Take exp(-(mean over channels of d)^2 / sigma) from row to row, as the authors' code does.
    """

    def __init__(
        self, image: torch.Tensor, sigma: float, beta: float, *, as_published: bool
    ) -> None:
        down, across = differences(image)
        rows = down.mean(0, keepdim=True) if as_published else down
        self._weights = [torch.exp(-d.square() / sigma).mean(0) for d in (rows, across)]
        self._beta = beta

    def __call__(self, mask: torch.Tensor, upsampled: torch.Tensor) -> torch.Tensor:
        """() of a mask (m, m), and the same upsampled (H, W)."""
        total = total_variation(mask, self._beta)
        for step, weight in zip(differences(upsampled), self._weights, strict=True):
            total = total + _mean(weight * step.abs() ** self._beta)
        return total / 2
