"""Phase jitter: every noise sample sees the image at another phase of the strides above a layer.

The checkerboard is tied to the strides, not to the image: a network that sees the image shifted
by a whole number of a layer's pixels has the same pattern at another place of it. The mean of
maps that are shifted back has the image's part in place and the pattern averaged out. Nothing
moves, the model is left as it is, and it costs no pass more than the noise samples do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional as F

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import LayerInfo, Model

IntPair = tuple[int, int]


@dataclass(frozen=True)
class Jitter:
    """How the samples of one walk are shifted.

    Attributes
    ----------
    pixel
        (y, x) tile px per layer px.
    step
        (y, x) layer px of the smallest shift.
    phases
        (y, x) number of different shifts.
    """

    pixel: IntPair
    step: IntPair
    phases: IntPair

    def shift(self, sample: int) -> IntPair:
        """Layer px (y, x) by which one sample's image is shifted up and left; 0 first.

        Successive points of Sobol's sequence: any run of them is spread over the phases as evenly
        as it can be.
        """
        y, x = _sobol(sample)
        return (
            self.step[0] * _phase(y, self.phases[0]),
            self.step[1] * _phase(x, self.phases[1]),
        )

    def shift_px(self, sample: int) -> IntPair:
        """The same in tile px."""
        y, x = self.shift(sample)
        return (y * self.pixel[0], x * self.pixel[1])

    @property
    def margin(self) -> int:
        """Tile px that the farthest shift reaches beyond a tile."""
        steps = zip(self.pixel, self.step, self.phases, strict=True)
        return max(pixel * step * (phases // 2) for pixel, step, phases in steps)


def _phase(point: float, phases: int) -> int:
    """0 .. 1 as a shift, as much to one side as to the other."""
    step = int(point * phases)
    return step if step < phases - phases // 2 else step - phases


@cache
def _sobol(sample: int) -> tuple[float, float]:
    engine = torch.quasirandom.SobolEngine(2, scramble=False)
    y, x = engine.fast_forward(sample).draw(1)[0].tolist()
    return y, x


def jitter_of(model: Model, layer: LayerInfo) -> Jitter | None:
    """The jitter of a layer; None where no coarser stride lies above it.

    Raises
    ------
    SettingError
        Where the layer's pixels are no whole number of tile px apart.
    """
    phases = model.phases(layer.name)
    if phases == (1, 1):
        return None
    pixel = (round(layer.stride[0]), round(layer.stride[1]))
    if any(abs(whole - given) > 1e-9 for whole, given in zip(pixel, layer.stride, strict=True)):
        raise SettingError(
            f"jitter = True: layer {layer.name!r} steps {layer.stride} tile px, and tiles can be "
            "shifted by whole ones only; choose another layer, or jitter = False"
        )
    # What decides per pixel is asked about the same pixels in every sample.
    output = model.output.stride if model.output is not None else (1.0, 1.0)
    step = [math.lcm(pixel[a], round(output[a])) // pixel[a] for a in (0, 1)]
    counts = [max(1, phases[a] // step[a]) for a in (0, 1)]
    return Jitter(pixel, (step[0], step[1]), (counts[0], counts[1]))


def with_margin(images: torch.Tensor, given: int, wanted: int) -> torch.Tensor:
    """Images (B, C, H, W) with so many px around the tile, reflected where they are not given."""
    if given >= wanted:
        cut = given - wanted
        return images[..., cut : images.shape[-2] - cut, cut : images.shape[-1] - cut]
    missing = wanted - given
    mode = "reflect" if min(images.shape[2:]) > missing else "replicate"
    return F.pad(images, [missing] * 4, mode=mode)


def moved(values: torch.Tensor, shift: IntPair) -> torch.Tensor:
    """Values (..., h, w) moved by (y, x) pixels; zeros where nothing comes from."""
    result = torch.zeros_like(values)
    (to_y, of_y), (to_x, of_x) = (_overlap(shift[a], values.shape[a - 2]) for a in (0, 1))
    result[..., to_y, to_x] = values[..., of_y, of_x]
    return result


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where values come to lie, and which."""
    kept = max(0, size - abs(shift))
    first = max(0, shift)
    return slice(first, first + kept), slice(first - shift, first - shift + kept)
