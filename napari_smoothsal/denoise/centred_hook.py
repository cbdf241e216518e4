"""``centred_hook``: this project's own, a filter of the gradient that moves nothing."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import DENOISINGS, Denoising, Handle
from napari_smoothsal.denoise.filters import filter_input_gradient, zero_phase


class CentredOptions(Settings):
    """What the centred hook can be told."""

    strength: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the gradient that is filtered: 1 removes what the stride put in, "
        "0 leaves everything.",
    )


def _attach(convolution: nn.Conv2d, options: Settings) -> Handle:
    assert isinstance(options, CentredOptions)
    stride = (convolution.stride[0], convolution.stride[1])
    strength = options.strength

    def smooth(gradient: torch.Tensor) -> torch.Tensor:
        filtered = zero_phase(gradient, stride)
        return filtered if strength == 1 else torch.lerp(gradient, filtered, strength)

    return filter_input_gradient(convolution, smooth)


CENTRED_HOOK = DENOISINGS.register(
    Denoising(
        name="centred_hook",
        title="Zero-phase filter of each strided convolution's gradient: smooth, nothing moves, "
        "the model stays as it is",
        attach=_attach,
        options=CentredOptions,
    )
)
