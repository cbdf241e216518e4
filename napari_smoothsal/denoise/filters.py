"""Small filters of gradients and images, and where in a convolution they are put."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.denoise.base import Handle

Filter = Callable[[torch.Tensor], torch.Tensor]


def mean_of_four_rolls(values: torch.Tensor) -> torch.Tensor:
    """Mean of values (B, C, H, W) rolled by (0, 0), (0, 1), (1, 0) and (1, 1).

    Separable: the mean of the values and their copy rolled by one, along one axis and then the
    other. It removes whatever alternates from pixel to pixel, moves the rest by half a pixel and
    wraps around at the border.

    Source: Herdt et al., Smooth Deep Saliency, section 3.1; ``conv_backward_hook_grad_fix`` of
    its published code.
    """
    rows = (values + values.roll(1, dims=2)) / 2
    return (rows + rows.roll(1, dims=3)) / 2


def zero_phase(values: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
    """Values (B, C, H, W) without the aliases of a stride, in place.

    A stride of s repeats a spectrum at all multiples of 1/s. The mean of s neighbours has a zero
    at each of these frequencies; taken twice, once to either side, it has double zeros, and what
    it smooths stays where it is: [1, 2, 1] / 4 for a stride of 2, [1, 2, 3, 2, 1] / 9 for one of
    3. Borders are reflected about their outermost pixels, along whose two sides an alternating
    pattern then goes on, so that it is removed there as well.
    """
    rims = [s - 1 for s in stride]
    values = _reflected(values, rims[0], rims[1])
    for _ in range(2):
        values = F.avg_pool2d(values, stride, stride=1)
    return values


def _reflected(values: torch.Tensor, high: int, wide: int) -> torch.Tensor:
    """With a rim of ``high`` rows and ``wide`` columns; images smaller than it are repeated."""
    for axis, rim in ((2, high), (3, wide)):
        if rim:
            mode = "reflect" if values.shape[axis] > rim else "replicate"
            around = (0, 0, rim, rim) if axis == 2 else (rim, rim, 0, 0)
            values = F.pad(values, around, mode=mode)
    return values


_WEIGHED = ContextVar("weighed", default=False)


@contextmanager
def weighed() -> Iterator[None]:
    """In the block, gradients are averaged weighted with the values that they are of.

    For gradients m that stand for a share m a of the score and have no bound where a is small: a
    plain average would hand such an m on to neighbours where a is large, whose shares explode. With
    F for the filter F(|a| m) / F(|a|) stays among the neighbours' m, and their shares' sum is kept
    but for the filter's rims.
    """
    token = _WEIGHED.set(True)
    try:
        yield
    finally:
        _WEIGHED.reset(token)


def _by_magnitude(gradient_filter: Filter, values: torch.Tensor) -> Filter:
    weights = values.detach().abs()
    least = torch.finfo(weights.dtype).tiny ** 0.5

    def average(gradient: torch.Tensor) -> torch.Tensor:
        total = gradient_filter(weights.clone())
        filtered = gradient_filter(gradient * weights)
        return torch.where(total > least, filtered / total, 0)

    return average


def filter_input_gradient(convolution: nn.Conv2d, gradient_filter: Filter) -> Handle:
    """Filter the gradient that flows from one convolution to its input.

    The convolution is given an alias of its input and the filter sits on that alias: other
    branches that read the same tensor (skips, shortcuts, sibling convolutions) keep their own
    gradients. (Module-level backward hooks refuse in-place neighbours and see less precisely
    what they filter.)
    """

    def on_input(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        image = inputs[0]
        if not image.requires_grad:
            return None
        alias = image.view_as(image)
        average = _by_magnitude(gradient_filter, image) if _WEIGHED.get() else gradient_filter
        alias.register_hook(average)
        return (alias, *inputs[1:])

    return convolution.register_forward_pre_hook(on_input)


def filter_input(convolution: nn.Conv2d, image_filter: Filter) -> Handle:
    """Filter what one convolution sees; nobody else who reads the same tensor is concerned."""

    def on_input(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        return (image_filter(inputs[0]), *inputs[1:])

    return convolution.register_forward_pre_hook(on_input)
