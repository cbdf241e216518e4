"""Layer-wise relevance propagation, carried by autograd as a multiplier m: R = activation * m.

A value's relevance is what it was given a share of by each function that read it. Written as a
multiple of the value, that share is a gradient wherever a function is linear without a constant:
concatenations, poolings, upsampling and ReLU need no rule, and each share goes in proportion to
what it contributed. What needs a rule is the weighted sums, which have biases and may cancel,
skips where they may cancel, and nonlinear functions other than ReLU.

Source: Bach et al. 2015; Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import get_gradient_edge

from napari_smoothsal.attribution.base import Box
from napari_smoothsal.attribution.functions import (
    MATRICES,
    SUMS,
    WEIGHTED,
    Elementwise,
    Function,
    carry_gradients,
    linear_name,
    out_of_place,
    overwrites,
)
from napari_smoothsal.attribution.interception import Interception
from napari_smoothsal.core.errors import ModelError


def as_ones(values: torch.Tensor) -> torch.Tensor:
    """1 for every value, with a gradient that gives each a relevance of 1 (0 for a value of 0)."""
    return values * _quotient(torch.ones_like(values), values.detach())


def as_magnitudes(values: torch.Tensor) -> torch.Tensor:
    """Values without their sign, each with a relevance of as much.

    Rules that part what speaks for a sum from what speaks against it share whatever sign the sum
    has; that of a negative score would turn the two around.
    """
    return values * values.detach().sign()


class Relevance(Interception):
    """What all of its rules have in common: nonlinear functions hand relevance on as a whole.

    A maximum hands it to the winner, as its gradient does.
    """

    def bent(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        f, x, in_place = out_of_place(function, args, kwargs)
        if f.name == "relu":  # whose gradient is the same, and cheaper
            return function(*args, **kwargs)
        return _Whole.apply(x, f, in_place)


class EpsilonRule(Relevance):
    """R_i = sum_j a_i w_ij R_j / (z_j + epsilon sign(z_j)): m_j is multiplied by z / (z + ...).

    Biases keep their share. Bach et al. 2015, equation 58.
    """

    def __init__(self, method: str, epsilon: float) -> None:
        super().__init__(method)
        self._epsilon = epsilon

    def linear(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        y = function(*args, **kwargs)
        if linear_name(function) in WEIGHTED | MATRICES | {"batch_norm"}:
            return _Stabilised.apply(y, self._epsilon)
        return y


class AlphaBetaRule(Relevance):
    """R_i = sum_j (alpha z+_ij / z+_j - beta z-_ij / z-_j) R_j: what speaks for a sum and what
    against it share its relevance apart.

    z+_ij is a_i w_ij where that is positive, of whatever sign a_i is. Bach et al. 2015, eq. 60.
    A skip hands all of its relevance to what is positive of its branches: shared in proportion,
    these would get shares that are huge and opposite wherever they nearly cancel.

    Parameters
    ----------
    biases
        Whether positive biases are among what speaks for a sum, and negative ones among what
        speaks against it; else the inputs share all of its relevance.
    """

    def __init__(self, method: str, alpha: float, beta: float, *, biases: bool) -> None:
        super().__init__(method)
        self._alpha, self._beta, self._biases = alpha, beta, biases

    def linear(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = linear_name(function)
        if name == "batch_norm":  # one that is not folded: each value has one input, its own
            apply = Elementwise(name, lambda x: function(x, *args[1:], **kwargs))
            return _Whole.apply(args[0], apply, False)
        if name in MATRICES:
            raise self.refusal(function)
        if name in SUMS and len(carry_gradients(list(args[:2]))) == 2:
            return self._skip(function, args, kwargs)
        if name not in WEIGHTED:
            return function(*args, **kwargs)
        return self.shared(_WeightedSum.of(function, args, kwargs))

    def shared(self, call: _WeightedSum) -> torch.Tensor:
        """A weighted sum, and how its inputs share its relevance."""
        plus = call.part(1, self._biases)
        minus = call.part(-1, self._biases) if self._beta else None
        shares = (self._alpha, -self._beta)
        result: torch.Tensor = _Shared.apply(call.whole(), shares, plus, minus)
        return result

    def _skip(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        a, b, *others = args
        # Copies: the function may overwrite the first.
        parts = (a.clone(), torch.zeros_like(b)), (torch.zeros_like(a), b)
        terms = [function(*part, *others, **kwargs) for part in parts]
        plus = _clamped(terms[0], 1) + _clamped(terms[1], 1)
        result = _Shared.apply(terms[0].detach() + terms[1].detach(), (1, 0), plus, None)
        return a.copy_(result) if overwrites(function) else result


class BoxedRule(AlphaBetaRule):
    """The z+ rule, and at the image the z^B rule, which hands down R in place of m.

    R_i = sum_j (x_i w_ij - l_i w+_ij - h_i w-_ij) / (the sum of these over i) R_j, where the
    values of x lie between l and h. Montavon et al. 2017, equation 14.

    Parameters
    ----------
    box
        Of the image; None where nothing is handed down to it.
    """

    def __init__(self, method: str, box: Box | None) -> None:
        super().__init__(method, 1, 0, biases=False)
        self._box = box

    def shared(self, call: _WeightedSum) -> torch.Tensor:
        if self._box is None:
            return super().shared(call)
        between, at_the_image = _made_of(call.x)
        if not at_the_image:
            return super().shared(call)
        x, weight, box = call.x, call.weight, self._box
        if not between <= _UNCHANGED or x.shape[1:2] != box.low.shape[1:2]:
            raise ModelError(
                f"method {self.method!r} at layer 'input' needs convolutions that see the image "
                "itself, and the model, or a denoising with smoothed convolutions, changes it "
                "first or joins it with feature maps; choose denoising 'original', a hidden layer, "
                "or method 'lrp_epsilon'"
            )
        low, high = (v.to(x.dtype).expand_as(x) for v in (box.low, box.high))
        parts = ((x.detach(), weight), (-low, _clamped(weight, 1)), (-high, _clamped(weight, -1)))
        z = sum(call.run(_Handed.apply(x, value), part, None) for value, part in parts)
        result: torch.Tensor = _Shared.apply(call.whole(), (1, 0), z, None)
        return result


_UNCHANGED = {
    f"{name}Backward0"
    for name in ("Clone", "Alias", "View", "ToCopy", "ReflectionPad2D", "ReplicationPad2D")
}
"""What may stand between an image and the first convolution: each value is one of the image's."""


def _made_of(x: torch.Tensor) -> tuple[set[str], bool]:
    """What a tensor is made from: names of autograd's nodes, down to the next weighted sums, and
    whether a way that meets none of these leads to the image."""
    names, to_the_image = set[str](), False
    seen, waiting = set[Any](), [get_gradient_edge(x).node]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            to_the_image = True
            continue
        names.add(node.name())
        if not hasattr(node, "shares"):
            waiting += [below for below, _ in node.next_functions if below is not None]
    return names, to_the_image


@dataclass(frozen=True)
class _WeightedSum:
    """One call of a convolution or of a linear layer."""

    function: Function
    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    others: tuple[Any, ...]
    named: dict[str, Any]

    @classmethod
    def of(cls, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _WeightedSum:
        names = ("input", "weight", "bias")
        given = {"bias": None} | dict(zip(names, args, strict=False)) | kwargs
        x, weight, bias = (given.pop(name) for name in names)
        return cls(function, x, weight, bias, args[3:], given)

    def run(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The same sum, of something else."""
        result: torch.Tensor = self.function(x, weight, bias, *self.others, **self.named)
        return result

    @torch.no_grad()
    def whole(self) -> torch.Tensor:
        """The sum as it is; its gradient flows through its parts."""
        return self.run(self.x, self.weight, self.bias)

    def part(self, sign: int, biases: bool) -> torch.Tensor:
        """What is positive (``sign`` 1) or negative (-1) among the summands, summed up."""
        bias = _clamped(self.bias, sign) if biases and self.bias is not None else None
        if not (self.x < 0).any():  # as after a ReLU
            return self.run(self.x, _clamped(self.weight, sign), bias)
        z = self.run(_clamped(self.x, 1), _clamped(self.weight, sign), bias)
        return z + self.run(_clamped(self.x, -1), _clamped(self.weight, -sign), None)


def _clamped(values: torch.Tensor, sign: int) -> torch.Tensor:
    return values.clamp(min=0) if sign > 0 else values.clamp(max=0)


class _Shared(torch.autograd.Function):
    """A sum z whose relevance is shared among its parts, so much of it to each."""

    @staticmethod
    def forward(
        ctx: Any,
        z: torch.Tensor,
        shares: tuple[float, float],
        *parts: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.shares = shares
        ctx.save_for_backward(z, *parts)
        return z.clone()  # which a ReLU may overwrite

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        z, *parts = ctx.saved_tensors
        relevance = gradients[0] * z
        given = [
            None if part is None else _quotient(relevance, part).mul_(share)
            for part, share in zip(parts, ctx.shares, strict=True)
        ]
        return None, None, *given


class _Handed(torch.autograd.Function):
    """A value in place of x that hands its relevance, not the multiplier, on to x."""

    @staticmethod
    def forward(ctx: Any, _x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(value)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (value,) = ctx.saved_tensors
        return gradients[0] * value, None


class _Stabilised(torch.autograd.Function):
    """y itself, whose gradient is multiplied with y / (y + epsilon sign(y))."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, epsilon: float) -> torch.Tensor:
        least = y.new_tensor(max(epsilon, torch.finfo(y.dtype).tiny))
        whole = torch.copysign(least, y).add_(y)
        ctx.save_for_backward(torch.div(y, whole, out=whole))
        ctx.mark_dirty(y)  # nothing is written, and nothing copied
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return gradients[0] * kept, None


class _Whole(torch.autograd.Function):
    """f(x), whose relevance is that of x."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, f: Elementwise, in_place: bool) -> torch.Tensor:
        y = f.apply(x)
        ctx.save_for_backward(_quotient(y, x))
        if in_place:
            ctx.mark_dirty(x)
            return x.copy_(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


def _quotient(values: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Values as multiples of a whole; 0 where that is, to the number format, nothing."""
    least = torch.finfo(whole.dtype).tiny ** 0.5
    return torch.where(whole.abs() > least, values / whole, 0)
