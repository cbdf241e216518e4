"""Slides and networks on which the result of a run is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.slides import ArraySlide


class Positive(nn.Module):
    """Positive, symmetric kernels: an activation peaks where its input does.

    Odd kernels with their padding, a patchify stem, pooling: the layouts whose centres differ.
    """

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.stem, self.deep = {
            "resnet": (nn.Conv2d(3, 4, 7, 2, 3), nn.Conv2d(4, 4, 3, 2, 1)),
            "patchify": (nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 2, 2)),
            "pooling": (
                nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.AvgPool2d(2)),
                nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.AvgPool2d(2)),
            ),
        }[layout]
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 2)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.fill_(0.1 if parameter.ndim > 1 else 0.0)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size[0] % 2:
                # Binomial: even and odd taps sum to the same, so gradients have no checkerboard.
                order = module.kernel_size[0] - 1
                taps = torch.tensor([math.comb(order, i) / 2**order for i in range(order + 1)])
                with torch.no_grad():
                    module.weight.copy_(torch.outer(taps, taps).expand_as(module.weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.act(self.deep(self.act(self.stem(x)))).mean((2, 3)))


@pytest.fixture
def positive() -> Callable[..., Model]:
    def make(layout: str = "resnet", input_mpp: float = 0.5, size: int = 64) -> Model:
        card = ModelCard(
            name=layout,
            kind="classification",
            class_names=("a", "b"),
            default_target="b",
            input_size=size,
            input_mpp=input_mpp,
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
        )
        return Model(Positive(layout).eval(), card)

    return make


@pytest.fixture
def black() -> Callable[..., ArraySlide]:
    """A black slide with dots of 3 px, brightest in the middle, at given level-0 (y, x)."""

    def make(height: int, width: int, *dots: tuple[int, int], mpp: float = 0.5) -> ArraySlide:
        pixels = np.zeros((height, width, 3), np.uint8)
        for y, x in dots:
            pixels[y - 1 : y + 2, x - 1 : x + 2] = 100
            pixels[y, x] = 255
        return ArraySlide([pixels], mpp=(mpp, mpp), name="dots", background=(0, 0, 0))

    return make


@pytest.fixture
def noisy() -> ArraySlide:
    """A slide of structured noise, all of it tissue, not a multiple of anything."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (31, 37, 3), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((9, 9, 1), np.uint8))[:275, :330]
    return ArraySlide([pixels], mpp=(0.5, 0.5), name="noisy")
