"""Small convolutions in fp64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from napari_smoothsal.denoise import DENOISINGS, denoised, options_of

Gradient = Callable[..., torch.Tensor]


@pytest.fixture
def gradient_of() -> Gradient:
    """Gradient of the (weighted) sum of a module's output for its input."""

    def gradient(
        module: nn.Module,
        image: torch.Tensor,
        names: Sequence[str],
        denoising: str,
        weight: torch.Tensor | None = None,
        **options: object,
    ) -> torch.Tensor:
        image = image.clone().requires_grad_()
        entry = DENOISINGS[denoising]
        with denoised(module, entry, names, options_of(entry, options)):
            output = module(image)
        (output if weight is None else output * weight).sum().backward()
        assert image.grad is not None
        return image.grad

    return gradient


@pytest.fixture
def strided() -> Callable[..., nn.Sequential]:
    """One convolution of random weights."""

    def make(kernel: int, stride: int, padding: int | None = None, **more: object) -> nn.Sequential:
        torch.manual_seed(kernel)
        padding = kernel // 2 if padding is None else padding
        conv = nn.Conv2d(4, 4, kernel, stride, padding, **more)  # type: ignore[arg-type]
        return nn.Sequential(conv.double().requires_grad_(False))

    return make
