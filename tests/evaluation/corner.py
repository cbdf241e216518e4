"""A linear model that has learned to look at one corner, and a tile that is bright there."""

from __future__ import annotations

import torch
from networks import wrapped
from torch import nn

from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.models import Model

SIDE, CORNER = 32, 8
HOW = Perturbation(cells=8, steps=16, insertion="zero")


def corner_model(brightness: float = 10.0) -> Model:
    """It gives 'bright' a score of the corner, and next to nothing of all else."""
    generator = torch.Generator().manual_seed(0)
    weights = 1e-3 * torch.rand((3, SIDE, SIDE), generator=generator)
    weights[:, :CORNER, :CORNER] += 1
    linear = nn.Linear(weights.numel(), 2)
    with torch.no_grad():
        linear.weight.zero_()
        linear.weight[1] = brightness * weights.flatten() / weights.sum()
        linear.bias.copy_(torch.tensor([0.0, -brightness]))
    return wrapped(nn.Sequential(nn.Flatten(), linear), "dark", "bright", size=SIDE)


def single_logit_model() -> Model:
    """One logit for 'dark', against 'not dark': the darker the corner, the more."""
    two = corner_model()
    weight, bias = (getattr(two.module[1], name)[1:] for name in ("weight", "bias"))
    linear = nn.Linear(weight.shape[1], 1)
    with torch.no_grad():
        linear.weight.copy_(-weight)
        linear.bias.copy_(-bias)
    return wrapped(nn.Sequential(nn.Flatten(), linear), "dark", size=SIDE)


def corner_tile() -> torch.Tensor:
    """(C, H, W) uint8."""
    generator = torch.Generator().manual_seed(1)
    shape = (3, SIDE, SIDE)
    tile = torch.randint(90, 160, shape, generator=generator, dtype=torch.uint8)
    tile[:, :CORNER, :CORNER] = 250
    return tile
