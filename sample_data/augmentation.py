"""Random changes to training tiles that do not change their label."""

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
    batch, _, _, width = images.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    # Geometry: any angle, either handedness, cells 0.8 to 1.25 times as large.
    angle = uniform(0, 2 * torch.pi)
    zoom = torch.exp(uniform(-0.223, 0.223)) * side / width
    mirror = torch.sign(uniform(-1, 1))
    free = 0.8 * (1 - side / width)
    cos, sin = torch.cos(angle) * zoom.abs(), torch.sin(angle) * zoom.abs()
    theta = torch.stack(
        [
            torch.stack([cos * mirror, -sin, uniform(-free, free)], 1),
            torch.stack([sin * mirror, cos, uniform(-free, free)], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, [batch, 3, side, side], align_corners=False)
    pixels = F.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )

    # Stain: optical densities are scaled and mixed a little between channels.
    density = -torch.log((pixels + 1) / 256)
    mixing = torch.eye(3) + 0.10 * torch.randn(batch, 3, 3, generator=generator)
    strength = torch.exp(uniform(-0.35, 0.35, 1, 1, 1))
    density = torch.einsum("bij,bjhw->bihw", mixing, density) * strength
    density = density + uniform(-0.02, 0.08, 3, 1, 1)
    result = torch.exp(-density.clamp(0)).clamp(0, 1)

    # Focus and camera.
    soft = F.avg_pool2d(F.pad(result, (1, 1, 1, 1), mode="reflect"), 3, 1)
    result = torch.lerp(result, soft, uniform(-0.6, 1.0, 1, 1, 1))
    noise = torch.randn(result.shape, generator=generator) * uniform(0.0, 0.03, 1, 1, 1)
    return (result + noise).clamp(0, 1)
