"""How far a fully convolutional network looks: the rim of a tile that its border falsifies."""

from __future__ import annotations

from collections.abc import Callable

import torch

ENERGY = 0.99
_PROBES = 2


def energy_radius(
    network: Callable[[torch.Tensor], torch.Tensor], channels: int, side: int, largest: int
) -> int:
    """Smallest Chebyshev radius that holds 99 % of the energy of an output pixel's gradient.

    Never above the receptive field's radius, outside which the gradient is zero.

    Parameters
    ----------
    network
        From images (1, channels, H, W) to (1, classes, h, w).
    channels
        Of the image; the probes are normalised noise.
    side
        Of the first probe; it is doubled while the energy reaches its rim.
    largest
        Side that is not exceeded.

    Returns
    -------
    int
        In input px; at most half of ``largest``.
    """
    while True:
        radius = _radius_in(network, torch.Size((1, channels, side, side)))
        if radius < side // 3 or 2 * side > largest:
            return radius
        side *= 2


def _radius_in(network: Callable[[torch.Tensor], torch.Tensor], image_shape: torch.Size) -> int:
    height, width = image_shape[2:]
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    distance = torch.maximum(rows[:, None], columns[None, :]).flatten()
    energy = torch.zeros(int(distance.max()) + 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(_PROBES):
        image = torch.randn(image_shape, generator=generator).requires_grad_()
        output = network(image)
        middle = output[0, :, output.shape[2] // 2, output.shape[3] // 2]
        # One direction in class space per probe, so that no class is left out.
        direction = torch.randn(middle.shape, generator=generator)
        (gradient,) = torch.autograd.grad((middle * direction).sum(), image)
        squares = gradient[0].double().square().sum(0).flatten()
        energy.index_add_(0, distance, squares)
    within = energy.cumsum(0)
    if not float(within[-1]) > 0:
        return len(energy) - 1
    return int((within < ENERGY * within[-1]).sum())
