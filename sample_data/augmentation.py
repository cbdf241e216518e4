"""Random changes to training tiles that do not change what they show.

Geometry moves pixels, and labels of pixels with them; colour and focus leave them in place.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Turn, mirror, scale, crop, restain, blur and add noise.

    Parameters
    ----------
    images
        uint8 (B, 3, H, W).
    side
        Side of the result in pixels.
    generator
        Source of randomness.

    Returns
    -------
    torch.Tensor
        float32 (B, 3, side, side) from 0 to 1.
    """
    grid = random_grid(images, side, generator)
    return restained(moved(images, grid), generator)


def augment_with_masks(
    images: Tensor, masks: Tensor, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The same for images whose every pixel has a label.

    Parameters
    ----------
    images, side, generator
        See `augment`.
    masks
        uint8 (B, H, W), moved with the images.

    Returns
    -------
    images : torch.Tensor
        float32 (B, 3, side, side) from 0 to 1.
    masks : torch.Tensor
        int64 (B, side, side); at each place the nearest label.
    """
    grid = random_grid(images, side, generator)
    return restained(moved(images, grid), generator), moved_masks(masks, grid)


def random_grid(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Where each pixel of the result comes from, (B, side, side, 2) as ``grid_sample`` wants it.

    Any angle, either handedness, cells 0.8 to 1.25 times as large.
    """
    batch, _, _, width = images.shape
    angle = _uniform(generator, 0, 2 * torch.pi, batch)
    zoom = torch.exp(_uniform(generator, -0.223, 0.223, batch)) * side / width
    mirror = torch.sign(_uniform(generator, -1, 1, batch))
    free = 0.8 * (1 - side / width)
    cos, sin = torch.cos(angle) * zoom.abs(), torch.sin(angle) * zoom.abs()
    theta = torch.stack(
        [
            torch.stack([cos * mirror, -sin, _uniform(generator, -free, free, batch)], 1),
            torch.stack([sin * mirror, cos, _uniform(generator, -free, free, batch)], 1),
        ],
        1,
    )
    return F.affine_grid(theta, [batch, 3, side, side], align_corners=False)


def moved(images: Tensor, grid: Tensor) -> Tensor:
    """Images uint8 (B, 3, H, W) at the places of a grid: float32 (B, 3, side, side), 0 to 255."""
    return _sampled(images, grid, "bilinear")


def moved_masks(masks: Tensor, grid: Tensor) -> Tensor:
    """Masks uint8 (B, H, W) at the places of a grid: int64 (B, side, side)."""
    # Labels up to 255 are exact as float32.
    return _sampled(masks[:, None], grid, "nearest")[:, 0].long()


def restained(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Other dyes, focus and camera: of pixels (B, 3, h, w) from 0 to 255, the same from 0 to 1."""
    batch = len(pixels)

    # Stain: optical densities are scaled and mixed a little between channels.
    density = -torch.log((pixels + 1) / 256)
    mixing = torch.eye(3) + 0.10 * torch.randn(batch, 3, 3, generator=generator)
    strength = torch.exp(_uniform(generator, -0.35, 0.35, batch, 1, 1, 1))
    density = torch.einsum("bij,bjhw->bihw", mixing, density) * strength
    density = density + _uniform(generator, -0.02, 0.08, batch, 3, 1, 1)
    result = torch.exp(-density.clamp(0)).clamp(0, 1)

    # Focus and camera.
    soft = F.avg_pool2d(F.pad(result, (1, 1, 1, 1), mode="reflect"), 3, 1)
    result = torch.lerp(result, soft, _uniform(generator, -0.6, 1.0, batch, 1, 1, 1))
    noise = torch.randn(result.shape, generator=generator)
    noise = noise * _uniform(generator, 0.0, 0.03, batch, 1, 1, 1)
    return (result + noise).clamp(0, 1)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _sampled(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    return F.grid_sample(
        images.float(), grid, mode=mode, padding_mode="reflection", align_corners=False
    )
