"""An impulse probe: where a layer's pixels lie and what they see, measured instead of reckoned.

A copy of the network is made nearly linear, with tiny images and positive weights that are largest
in the middle of each kernel and symmetric about it: what a layer pixel depends on then shows in its
gradient with respect to the image, without gaps, and most of it lies about the place on which the
pixel is centred. Double precision keeps what is far from there above zero, and exact zeros beyond.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.layers import LayerInfo
from napari_smoothsal.models.layout import Layout

_TINY = 1e-20
"""Of the images' values: gates stay half open, and what they pass on stays above zero."""

_CORE = 0.02
"""Of the largest difference between what two groups see: below it lies what both see, and what the
tile's border cuts off."""

_ASIDE = 0.1
"""Of a kernel's weights: those beside its middle, against the middle one."""

_MOST_UNITS = 32
"""Layer pixels in a row that are looked at together."""


class Tolerances(NamedTuple):
    """Of an impulse probe, in tile px, (y, x); that of strides is per layer px."""

    stride: tuple[float, float]
    centre: tuple[float, float]


def tolerances(info: LayerInfo) -> Tolerances:
    """How far what is measured may lie from what was reckoned, without contradicting it."""
    # On maps of a few pixels, the tile's border draws the middles aside.
    strides = [0.2 * stride + 0.1 * info.centre_spread for stride in info.stride]
    centres = [info.centre_spread + 0.25 * max(1.0, stride) for stride in info.stride]
    return Tolerances((strides[0], strides[1]), (centres[0], centres[1]))


@dataclass(frozen=True)
class Impulse:
    """What was measured of a layer; pairs are (y, x).

    Attributes
    ----------
    stride
        Tile px per layer px: between the middles of what two groups of pixels see.
    centre
        Tile px on which layer pixel 0 is centred.
    low, high
        First and last tile px that a group of pixels sees, and what it should see by the layer's
        receptive field (``expected_low``, ``expected_high``), within the tile.
    whole
        Whether it sees the tile from border to border.
    slack
        Tile px by which pixels of a group differ in what they see: after an upsampling.
    """

    stride: tuple[float, float]
    centre: tuple[float, float]
    low: tuple[int, int]
    high: tuple[int, int]
    expected_low: tuple[int, int]
    expected_high: tuple[int, int]
    whole: bool
    slack: float

    @property
    def seen(self) -> tuple[int, int]:
        """Tile px that the group sees."""
        return (self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1)

    def contradictions(self, info: LayerInfo) -> list[str]:
        """In what the layer's arithmetic is wrong, in words; empty: in nothing.

        Its receptive field is a bound: seeing less is no contradiction, seeing more is.
        """
        found, within = [], tolerances(info)
        for axis, name in enumerate("yx"):
            stride, expected = self.stride[axis], info.stride[axis]
            if abs(stride - expected) > within.stride[axis]:
                found.append(f"stride {name}: {expected:g} px reckoned, {stride:.2f} measured")
            centre, reckoned = self.centre[axis], info.centre[axis]
            if abs(centre - reckoned) > within.centre[axis]:
                found.append(f"centre {name}: {reckoned:g} px reckoned, {centre:.2f} measured")
            if (
                self.low[axis] < self.expected_low[axis]
                or self.high[axis] > self.expected_high[axis]
            ):
                found.append(
                    f"receptive field {name}: px {self.expected_low[axis]} to "
                    f"{self.expected_high[axis]} reckoned, {self.low[axis]} to "
                    f"{self.high[axis]} measured"
                )
        return found

    @property
    def tight(self) -> bool:
        """Whether the group sees all that it should."""
        lows = zip(self.low, self.expected_low, strict=True)
        highs = zip(self.high, self.expected_high, strict=True)
        return max([a - b for a, b in lows] + [b - a for a, b in highs]) <= self.slack


class Probe:
    """A copy of a network, made ready to be looked at with impulses.

    Parameters
    ----------
    module
        The network; it is not changed.
    channels, size
        Of the tiles.

    Raises
    ------
    ModelError
        If the copy does not run.
    """

    def __init__(self, module: nn.Module, channels: int, size: int) -> None:
        self._module = _made_plain(copy.deepcopy(module).cpu())
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(1, channels, size, size, generator=generator, dtype=torch.float64)
        self._image = ((0.5 + image) * _TINY).requires_grad_()
        self._generator = generator

    def measure(self, layers: Sequence[LayerInfo]) -> dict[str, Impulse]:
        """What the pixels of layers see.

        Parameters
        ----------
        layers
            To look at, all in one pass.

        Raises
        ------
        ModelError
            If the network does not run, or nothing in a layer depends on the image.
        """
        outputs: dict[str, torch.Tensor] = {}
        handles = []

        def keep(name: str) -> Any:
            return lambda _module, _inputs, output: outputs.update({name: output})

        try:
            for info in layers:
                submodule = self._module.get_submodule(info.name)
                handles.append(submodule.register_forward_hook(keep(info.name)))
            with torch.enable_grad(), _Averaging():
                # The clone: a network may write into what it is given.
                self._module(self._image.clone())
        except Exception as error:  # whatever a network does not like about such a copy
            raise ModelError(f"the impulse probe could not run the model: {error}") from error
        finally:
            for handle in handles:
                handle.remove()
        return {info.name: self._of_layer(info, outputs[info.name]) for info in layers}

    def _of_layer(self, info: LayerInfo, output: torch.Tensor) -> Impulse:
        side = self._image.shape[2]
        values = info.layout.to_map(output, _grid(output, info.layout))
        height, width = values.shape[2:]
        # After an upsampling, only a whole period of pixels lies evenly.
        period = max(1, round(info.deepest_stride / max(info.stride)))
        units = max(1, min(period, _MOST_UNITS, height // 4, width // 4))
        starts = [(height // 3 // units * units, width // 3 // units * units)]
        starts.append((starts[0][0], max(0, min(width - units, 2 * width // 3 // units * units))))
        starts.append((max(0, min(height - units, 2 * height // 3 // units * units)), starts[0][1]))
        direction = 0.5 + torch.rand(
            values.shape[1], generator=self._generator, dtype=torch.float64
        )
        seen = [self._gradient(values, start, units, direction) for start in starts]
        if not any(bool(s.any()) for s in seen):
            raise ModelError(f"layer {info.name!r} does not depend on the image")
        stride, centre = [], []
        for axis, other in ((0, 2), (1, 1)):
            step = starts[other][axis] - starts[0][axis]
            first, second = _middles(seen[0], seen[other], axis)
            stride.append((second - first) / step if step else inf)
            middle = starts[0][axis] + (units - 1) / 2
            centre.append(first - middle * info.stride[axis])
        low, high, expected_low, expected_high = [], [], [], []
        for axis in (0, 1):
            there = torch.nonzero(seen[0].sum(1 - axis)).flatten()
            low.append(int(there[0]))
            high.append(int(there[-1]))
            begin = info.first_seen[axis] + starts[0][axis] * info.stride[axis]
            end = begin + info.receptive_field[axis] - 1 + (units - 1) * info.stride[axis]
            expected_low.append(max(0, ceil(begin - 1e-6)) if isfinite(begin) else 0)
            expected_high.append(min(side - 1, int(end + 1e-6)) if isfinite(end) else side - 1)
        return Impulse(
            (stride[0], stride[1]),
            (centre[0], centre[1]),
            (low[0], low[1]),
            (high[0], high[1]),
            (expected_low[0], expected_low[1]),
            (expected_high[0], expected_high[1]),
            low == [0, 0] and high == [side - 1, side - 1],
            info.deepest_stride if period > 1 else 0.0,
        )

    def _gradient(
        self, values: torch.Tensor, start: tuple[int, int], units: int, direction: torch.Tensor
    ) -> torch.Tensor:
        (y, x) = start
        group = values[0, :, y : y + units, x : x + units]
        (gradient,) = torch.autograd.grad(
            (group.sum((1, 2)) * direction).sum(), self._image, retain_graph=True
        )
        return gradient[0].abs().sum(0)


def _middles(one: torch.Tensor, other: torch.Tensor, axis: int) -> tuple[float, float]:
    """Centroids along an axis of what two groups see, without what both see alike."""
    difference = one - other
    difference = difference * (difference.abs() > _CORE * difference.abs().max())
    found = []
    for part in (difference, -difference):
        weights = part.clamp(min=0).sum(1 - axis)
        places = torch.arange(len(weights), dtype=weights.dtype)
        found.append(float((weights * places).sum() / weights.sum()))
    return found[0], found[1]


def _grid(output: torch.Tensor, layout: Layout) -> tuple[int, int]:
    """Of a square tile."""
    if layout.order in ("BCHW", "BHWC"):
        first = layout.order.index("H")
        return (output.shape[first], output.shape[first + 1])
    side = round((output.shape[layout.order.index("N")] - layout.prefix) ** 0.5)
    return (side, side)


@torch.no_grad()
def _made_plain(module: nn.Module) -> nn.Module:
    """Every weight positive, of the mean that keeps values as large as they are."""
    generator = torch.Generator().manual_seed(1)
    module = module.double().eval().requires_grad_(False)
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            weights = 0.5 + torch.rand(
                parameter.shape[:2], generator=generator, dtype=torch.float64
            )
            weights = weights.reshape(*parameter.shape[:2], *(1,) * (parameter.ndim - 2))
            weights = weights * _peaked(parameter.shape[2:])
            parameter.copy_(weights / weights[0].sum())
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    for child in module.modules():
        if isinstance(getattr(child, "running_mean", None), torch.Tensor):
            child.running_mean.zero_()  # type: ignore[operator]
            child.running_var.fill_(1.0)  # type: ignore[operator]
        if isinstance(getattr(child, "eps", None), float):
            # What a norm divides by is then nearly the same for all values.
            child.eps = 1.0  # type: ignore[assignment]
    return module


def _peaked(kernel: torch.Size) -> torch.Tensor:
    """Nearly all of it in the middle pixel, or the middle ones of an even kernel; none of it 0."""
    weights = torch.full(kernel, _ASIDE / max(1, kernel.numel()), dtype=torch.float64)
    middle = tuple(slice((size - 1) // 2, size // 2 + 1) for size in kernel)
    weights[middle] = 1.0
    return weights


class _Averaging(TorchFunctionMode):
    """Means in the place of maxima: those would show one pixel of each window only."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _MAXIMA:
            values = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
            if values.get("dilation", 1) in (1, (1, 1), [1, 1]) and not values.get(
                "return_indices"
            ):
                wanted = ("input", "kernel_size", "stride", "padding", "ceil_mode")
                return F.avg_pool2d(**{name: values[name] for name in wanted if name in values})
        if func in (F.adaptive_max_pool2d, torch.adaptive_max_pool1d):
            return F.adaptive_avg_pool2d(args[0], args[1])
        return func(*args, **kwargs)


_ARGUMENTS = (
    "input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices",
)  # fmt: skip

_MAXIMA = (F.max_pool2d, torch.max_pool2d, torch._C._nn.max_pool2d_with_indices)
