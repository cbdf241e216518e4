"""DeepLift's rescale rule: gradients through nonlinear functions become secants to a reference.

For a nonlinear function y = f(x) the multiplier is (f(x) - f(x0)) / (x - x0) in place of f'(x),
where x0 is what the same call saw for the baseline image (Shrikumar et al. 2017, section 3.5.1).

*Functions* are intercepted, not modules: a ReLU that is shared between places, or called as a
function, is one call after the other here, and the network stays as it is. What is neither
linear nor has a rule is refused: its plain gradient would be a silently wrong multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from napari_smoothsal.attribution.functions import (
    Elementwise,
    Function,
    carry_gradients,
    is_elementwise,
    is_linear,
    name_of,
    out_of_place,
)
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.readout import Question


@dataclass(frozen=True)
class _Call:
    """One intercepted call of the baseline's pass: what went in and what came out."""

    function: str
    seen: torch.Tensor
    made: torch.Tensor
    winners: torch.Tensor | None = None


@dataclass
class Reference:
    """What the network makes of the baseline images.

    Attributes
    ----------
    calls
        Nonlinear calls above the lowest layer, in order.
    activations
        (n, C, h, w) by layer; n is 1 for a baseline that all tiles share.
    output
        (n, classes, H, W).
    """

    calls: list[_Call] = field(default_factory=list)
    activations: dict[str, torch.Tensor] = field(default_factory=dict)
    output: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def scores(self, question: Question) -> torch.Tensor:
        """(B,) of the tiles of a question, as many as there are baselines or sharing one."""
        count = len(question.classes)
        activations = {
            name: value.expand(count, -1, -1, -1) for name, value in self.activations.items()
        }
        return question.scores(self.output.expand(count, -1, -1, -1), activations)

    def rows(self, rows: torch.Tensor) -> Reference:
        """The reference of each row of a batch: ``rows`` are indices into the baselines."""
        if len(self.output) == 1:
            return self
        if len(rows) == len(self.output) and bool((rows.diff() == 1).all()):
            return self
        calls = [
            _Call(
                c.function,
                c.seen[rows],
                c.made[rows],
                None if c.winners is None else c.winners[rows],
            )
            for c in self.calls
        ]
        activations = {name: value[rows] for name, value in self.activations.items()}
        return Reference(calls, activations, self.output[rows])


_MAX_POOLING = "max_pool2d"


@contextmanager
def recorded(reference: Reference) -> Iterator[None]:
    """Record the nonlinear calls of a pass of the baseline, which the block runs."""
    with _Recording(reference):
        yield


@contextmanager
def rescaled(reference: Reference) -> Iterator[None]:
    """Rescale the gradients of a pass, which the block runs, against a reference."""
    mode = _Rescaling(reference)
    with mode:
        yield
    if mode.position != len(reference.calls):
        raise _another_path(f"{mode.position} nonlinear calls, not {len(reference.calls)}")


class _Interception(TorchFunctionMode):
    """Finds the calls that decide about the gradient, and lets linear ones through."""

    def __torch_function__(
        self, function: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        gradients = len(carry_gradients(tree_leaves((args, kwargs))))
        if not gradients:
            return function(*args, **kwargs)
        if function is F.max_pool2d:
            return self.pooled(*_pooling(args, kwargs))
        if is_elementwise(function) and gradients == 1:
            return self.bent(*out_of_place(function, args, kwargs))
        result = function(*args, **kwargs)
        carries = carry_gradients(tree_leaves(result))
        if carries and not is_linear(function, args, kwargs, gradients):
            raise _refused(function)
        return result

    def bent(self, f: Elementwise, x: torch.Tensor, in_place: bool) -> torch.Tensor:
        """A function of single values."""
        raise NotImplementedError

    def pooled(self, x: torch.Tensor, window: _Window) -> torch.Tensor:
        """A maximum over windows."""
        raise NotImplementedError


class _Recording(_Interception):
    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self._calls = reference.calls

    def bent(self, f: Elementwise, x: torch.Tensor, in_place: bool) -> torch.Tensor:
        # Copies, once for all samples: whatever follows may overwrite either.
        seen, y = x.detach().clone(), f.apply(x)
        self._calls.append(_Call(f.name, seen, y.detach().clone()))
        return x.copy_(y) if in_place else y

    def pooled(self, x: torch.Tensor, window: _Window) -> torch.Tensor:
        y, winners = window(x)
        self._calls.append(_Call(_MAX_POOLING, x.detach().clone(), y.detach().clone(), winners))
        return y


class _Rescaling(_Interception):
    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self._calls = reference.calls
        self.position = 0

    def bent(self, f: Elementwise, x: torch.Tensor, in_place: bool) -> torch.Tensor:
        return _Secant.apply(x, f, self._next(f.name, x), in_place)  # type: ignore[no-any-return]

    def pooled(self, x: torch.Tensor, window: _Window) -> torch.Tensor:
        call = self._next(_MAX_POOLING, x)
        return _PooledSecant.apply(x, window, call)  # type: ignore[no-any-return]

    def _next(self, function: str, x: torch.Tensor) -> _Call:
        if self.position == len(self._calls):
            raise _another_path(f"a call of {function} more")
        call = self._calls[self.position]
        self.position += 1
        if call.function != function or call.seen.shape[1:] != x.shape[1:]:
            raise _another_path(f"{function} where the baseline's calls {call.function}")
        return call


def _slope_of_relu(x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
    """Slope of ReLU's secant: the share of the way from x0 to x that is above zero.

    max(x, x0) / |x - x0|, cut to 0 and 1. No difference of close numbers is taken, so that it is
    exact however close they are, and at a tie it is the tangent's. Few passes over memory: this
    is what DeepLift costs more than a gradient.
    """
    way = torch.sub(x, x0).abs_().add_(torch.finfo(x.dtype).tiny)
    return torch.maximum(x, x0).div_(way).clamp_(0, 1)


def _near(x: torch.Tensor, x0: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """Where x is so close to x0 that the secant is lost in rounding; the tangent takes over."""
    limit = math.sqrt(torch.finfo(x.dtype).eps)
    return difference.abs() <= limit * torch.maximum(x.abs(), x0.abs())


class _Secant(torch.autograd.Function):
    """f(x), whose gradient is multiplied with the slope of the secant from (x0, f(x0))."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, f: Elementwise, call: _Call, in_place: bool
    ) -> torch.Tensor:
        if f.name == "relu":
            slope = _slope_of_relu(x, call.seen)
        else:
            difference = x - call.seen
            slope = (f.apply(x) - call.made).div_(difference)
            if (near := _near(x, call.seen, difference)).any():
                slope = torch.where(near, _derivative(f, x), slope)
        ctx.save_for_backward(slope)
        y = f.apply(x)
        if in_place:
            # In place it must stay: where a skip reads the same tensor, it reads the result.
            ctx.mark_dirty(x)
            return x.copy_(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None, None


def _derivative(f: Elementwise, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(f.apply(x).sum(), x)[0]


class _PooledSecant(torch.autograd.Function):
    """Max-pooling: the change of a window's maximum belongs to the pixel that wins in the image
    as far as it rises above the baseline's, and to the one that wins in the baseline as far as
    it falls below; divided by those pixels' own changes. (Windows may overlap; contributions
    to a pixel add up.)"""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, window: _Window, call: _Call) -> torch.Tensor:
        y, winners = window(x)
        ctx.window, ctx.call = window, call
        ctx.save_for_backward(x, y, winners)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        x, y, winners = ctx.saved_tensors
        x0, y0, winners0 = ctx.call.seen, ctx.call.made, ctx.call.winners
        top = torch.maximum(y, y0)
        gained = ctx.window.placed(gradient * (top - y0), x, winners)
        lost = ctx.window.placed(gradient * (y - top), x, winners0.expand_as(winners))
        difference = x - x0
        near = _near(x, x0.expand_as(x), difference)
        slope = (gained + lost) / difference
        return torch.where(near, ctx.window.placed(gradient, x, winners), slope), None, None


class _Window:
    """Geometry of one max-pooling."""

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool):
        # An empty stride means the kernel's size.
        self._geometry = (kernel_size, stride or kernel_size, padding, dilation, ceil_mode)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maxima and the flat indices of the pixels that they come from."""
        maxima: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten.max_pool2d_with_indices(
            x, *(_two(v) for v in self._geometry[:4]), self._geometry[4]
        )
        return maxima

    def placed(self, values: torch.Tensor, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Values of windows added up at pixels of x."""
        summed: torch.Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            values, x, *(_two(v) for v in self._geometry[:4]), self._geometry[4], at.contiguous()
        )
        return summed


def _two(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _pooling(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[torch.Tensor, _Window]:
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    defaults = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
    given: dict[str, Any] = defaults | dict(zip(names, args, strict=False)) | kwargs
    if given.get("return_indices"):
        raise _refused(F.max_pool2d_with_indices)
    x = given.pop("input")
    return x, _Window(*(given[name] for name in names[1:6]))


def _refused(function: Function) -> ModelError:
    return ModelError(
        f"method 'deeplift' has no rule for {name_of(function)!r}, which the model applies above "
        "the layer; choose 'gradient' or 'activation_x_gradient', or a layer above it"
    )


def _another_path(what: str) -> ModelError:
    return ModelError(
        "method 'deeplift' compares the image's way through the network with the baseline's, and "
        f"they are not the same: {what}; choose 'gradient'"
    )
