"""A slide whose left half is dark, and a model that sees that."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.slides import ArraySlide

SIDE, DARK, PINK, GLASS = 16, 5, 4, 2
"""Px of a tile; columns of tiles."""
ROWS = 8


def dark_model() -> Model:
    """Two classes, light and dark, by the mean of what a convolution makes of dark pixels."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    with torch.no_grad():
        module[0].weight[:] = -torch.rand(4, 3, 3, 3) / 9
        module[0].bias[:] = torch.tensor([1.0, 0.9, 1.1, 1.0])
        module[4].weight[:] = 0
        module[4].weight[1] = 3
        module[4].bias[:] = torch.tensor([0.0, -4.0])
    card = ModelCard(
        name="dark",
        kind="classification",
        class_names=("light", "dark"),
        background="light",
        default_target="dark",
        input_size=SIDE,
        input_mpp=0.5,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    return Model(module.eval(), card)


def dark_slide() -> ArraySlide:
    """Dark tissue, pink tissue, glass, from left to right, in whole tiles at 0.5 um per pixel."""
    rng = np.random.default_rng(0)
    width = SIDE * (DARK + PINK + GLASS)
    colours = np.full((SIDE * ROWS, width, 3), 255.0)
    colours[:, : SIDE * (DARK + PINK)] = (205, 120, 175)
    colours[:, : SIDE * DARK] = (70, 40, 110)
    noise = rng.normal(0, 12, colours.shape) * (colours < 255)
    pixels = np.clip(colours + noise, 0, 255).astype(np.uint8)
    return ArraySlide([pixels], mpp=(0.5, 0.5), name="dark")
