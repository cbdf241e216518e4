"""``forward_hook``: the paper's second denoising, strided convolutions of an averaged input."""

from __future__ import annotations

from torch import nn

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import (
    DENOISINGS,
    Denoising,
    Handle,
    MovingOptions,
    ScopedOptions,
)
from napari_smoothsal.denoise.filters import filter_input, mean_of_four_rolls


class ForwardOptions(ScopedOptions, MovingOptions):
    """What the forward hook can be told."""


def _attach(convolution: nn.Conv2d, _options: Settings) -> Handle:
    # The paper averages the outputs of four convolutions, of the input rolled to four places.
    # A convolution is linear, so that one of the averaged input is the same, bias included.
    return filter_input(convolution, mean_of_four_rolls)


FORWARD_HOOK = DENOISINGS.register(
    Denoising(
        name="forward_hook",
        title="Strided convolutions see a 2x2 mean of their input (Herdt et al.): smooth; explains "
        "a changed network, whose predictions differ",
        attach=_attach,
        options=ForwardOptions,
        moves_activation_px=0.5,
        changes_network=True,
    )
)
"""Source: Herdt et al., Smooth Deep Saliency, section 3.2; ``ForwardGradFixHook`` of its code."""
