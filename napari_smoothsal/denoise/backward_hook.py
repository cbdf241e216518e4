"""``backward_hook``: the paper's first denoising, a 2x2 mean of each convolution's gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import DENOISINGS, Denoising, Handle


def mean_of_four_rolls(gradient: torch.Tensor) -> torch.Tensor:
    """Mean of a gradient (B, C, H, W) rolled by (0, 0), (0, 1), (1, 0) and (1, 1).

    Separable: the mean of the gradient and its copy rolled by one, along one axis and then the
    other. It removes whatever alternates from pixel to pixel, moves the map by half a pixel and
    wraps around at the border.

    Source: Herdt et al., Smooth Deep Saliency, section 3.1; ``conv_backward_hook_grad_fix`` of
    its published code.
    """
    rows = (gradient + gradient.roll(1, dims=2)) / 2
    return (rows + rows.roll(1, dims=3)) / 2


def filter_input_gradient(convolution: nn.Conv2d, gradient_filter: Any) -> Handle:
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
        alias.register_hook(gradient_filter)
        return (alias, *inputs[1:])

    return convolution.register_forward_pre_hook(on_input)


def _attach(convolution: nn.Conv2d, _options: Settings) -> Handle:
    return filter_input_gradient(convolution, mean_of_four_rolls)


BACKWARD_HOOK = DENOISINGS.register(
    Denoising(
        name="backward_hook",
        title="2x2 mean of each strided convolution's gradient; smooth, moves the map by half a "
        "pixel per convolution",
        attach=_attach,
    )
)
