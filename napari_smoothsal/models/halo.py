"""How far a fully convolutional network looks: the rim of a tile that its border falsifies."""

from __future__ import annotations

from collections.abc import Callable

import torch

ENERGY = 0.99


def energy_radius(network: Callable[[torch.Tensor], torch.Tensor], image_shape: torch.Size) -> int:
    """Smallest Chebyshev radius that holds 99 % of the energy of an output pixel's gradient.

    Never above the receptive field's radius, outside which the gradient is zero.

    Parameters
    ----------
    network
        From images (1, C, H, W) to (1, classes, h, w).
    image_shape
        (1, C, H, W); the probe is normalised noise of this shape, of which the middle is looked
        at. It must be as large as the tiles: what lies beyond it cannot be seen.

    Returns
    -------
    int
        In input px; at most half the image.
    """
    height, width = image_shape[2:]
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    distance = torch.maximum(rows[:, None], columns[None, :]).flatten()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(image_shape, generator=generator).requires_grad_()
    output = network(image)
    middle = output[0, :, output.shape[2] // 2, output.shape[3] // 2]
    # One direction in class space, so that no class is left out.
    direction = torch.randn(middle.shape, generator=generator)
    (gradient,) = torch.autograd.grad((middle * direction).sum(), image)
    squares = gradient[0].double().square().sum(0).flatten()
    energy = torch.zeros(int(distance.max()) + 1, dtype=torch.float64)
    energy.index_add_(0, distance, squares)
    within = energy.cumsum(0)
    if not float(within[-1]) > 0:
        return len(energy) - 1
    return int((within < ENERGY * within[-1]).sum())
