"""``backward_hook``: the paper's first denoising, a 2x2 mean of each convolution's gradient."""

from __future__ import annotations

from torch import nn

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import DENOISINGS, Denoising, Handle, MovingOptions
from napari_smoothsal.denoise.filters import filter_input_gradient, mean_of_four_rolls


def _attach(convolution: nn.Conv2d, _options: Settings) -> Handle:
    return filter_input_gradient(convolution, mean_of_four_rolls)


BACKWARD_HOOK = DENOISINGS.register(
    Denoising(
        name="backward_hook",
        title="2x2 mean of each strided convolution's gradient (Herdt et al.): smooth; moves the "
        "map, its fine structure by half a pixel",
        attach=_attach,
        options=MovingOptions,
        moves_gradient_px=0.5,
    )
)
