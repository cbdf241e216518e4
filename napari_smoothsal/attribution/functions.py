"""What torch's functions do to a gradient: linear, applied value by value, or something else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn import functional as F

Function = Callable[..., Any]

_ELEMENTWISE = {
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "prelu"),
    *("sigmoid", "logsigmoid", "tanh", "softplus", "softsign", "tanhshrink", "hardtanh"),
    *("hardswish", "hardsigmoid", "hardshrink", "softshrink", "clamp", "clamp_min", "clamp_max"),
    *("exp", "log", "log1p", "sqrt", "rsqrt", "square", "abs", "erf", "sin", "cos", "reciprocal"),
}

WEIGHTED = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"})
"""Weighted sums whose first arguments are the input, the weights and the biases."""

MATRICES = frozenset(
    ("einsum", "matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "addmm", "baddbmm", "addbmm")
)
"""Weighted sums whose weights may be any of the arguments."""

SUMS = frozenset(
    {
        *("add", "__add__", "__radd__", "__iadd__"),
        *("sub", "subtract", "rsub", "__sub__", "__rsub__", "__isub__"),
    }
)
"""Sums and differences of two tensors."""

_PRODUCTS = {
    *WEIGHTED,
    *MATRICES,
    *("mul", "multiply", "__mul__", "__rmul__", "__imul__", "lerp"),
}
"""Linear in each argument: in all as long as one of them carries a gradient."""

_FRACTIONS = {"div", "divide", "true_divide", "__truediv__", "__itruediv__"}
"""Linear in the first argument."""

_SWITCHED = {"dropout", "dropout2d", "batch_norm"}
"""Linear unless in training."""

_LINEAR = {
    *SUMS,
    *("neg", "negative", "__neg__", "sum", "mean", "cumsum", "where"),
    *("flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze", "permute", "transpose"),
    *("t", "movedim", "swapaxes", "contiguous", "clone", "view_as", "reshape_as", "expand"),
    *("expand_as", "repeat", "repeat_interleave", "cat", "concat", "concatenate", "stack"),
    *("split", "chunk", "unbind", "narrow", "select", "index_select", "gather", "diagonal"),
    *("__getitem__", "roll", "flip", "pad", "masked_fill", "unfold", "fold", "alias"),
    *("avg_pool2d", "adaptive_avg_pool2d", "interpolate", "upsample", "upsample_nearest"),
    *("upsample_bilinear", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    *("to", "float", "double", "half", "bfloat16", "type", "type_as", "cpu", "cuda"),
    *("requires_grad_", "register_hook"),
}


@dataclass(frozen=True)
class Elementwise:
    """A function of single values, out of place, its other arguments filled in."""

    name: str
    apply: Callable[[torch.Tensor], torch.Tensor]


def name_of(function: Function) -> str:
    """As messages call it."""
    return getattr(function, "__name__", repr(function))


def linear_name(function: Function) -> str | None:
    """The name of a function that `is_linear` may call linear, whichever variant it is."""
    return _table()[1].get(function)


def overwrites(function: Function) -> bool:
    """Whether a function writes its result into its first argument."""
    name = name_of(function)
    return name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def carry_gradients(values: list[Any]) -> list[torch.Tensor]:
    """Those of some values that are tensors with a gradient."""
    return [v for v in values if isinstance(v, torch.Tensor) and v.requires_grad]


def is_elementwise(function: Function) -> bool:
    """Whether a function is applied to each value on its own."""
    return function in _table()[0]


def is_linear(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], gradients: int
) -> bool:
    """Whether a call is linear in its arguments that carry gradients, of which there are some."""
    name = _table()[1].get(function)
    if name is None:
        return name_of(function) == "__get__"  # `tensor.T`: an attribute that is a view
    if name in _PRODUCTS:
        return gradients == 1
    if name in _FRACTIONS:
        return gradients == 1 and len(carry_gradients(list(args[:1]))) == 1
    if name in _SWITCHED:
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        return not bound.arguments["training"]
    return True


def out_of_place(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Elementwise, torch.Tensor, bool]:
    """An elementwise call: its function, its tensor, and whether it overwrites that."""
    name = _table()[0][function]
    plain = _plain(function, name)
    in_place = plain is not function
    given = dict(kwargs)
    x, others = (args[0], list(args[1:])) if args else (given.pop("input"), [])
    parameters = _parameters(plain)
    if "inplace" in parameters:
        in_place = bool(given.pop("inplace", False)) or in_place
        place = parameters.index("inplace") - 1
        if len(others) > place:
            in_place = bool(others.pop(place)) or in_place
    return Elementwise(name, lambda v: plain(v, *others, **given)), x, in_place


@cache
def _table() -> tuple[dict[Function, str], dict[Function, str]]:
    """Public functions of the names above, elementwise and linear, with in-place variants."""
    linear = _LINEAR | _PRODUCTS | _FRACTIONS | _SWITCHED
    return _found(_ELEMENTWISE), _found(linear)


def _found(names: set[str]) -> dict[Function, str]:
    found: dict[Function, str] = {}
    for name in names:
        for home in (torch, torch.Tensor, F):
            for variant in (name, f"{name}_"):
                function = getattr(home, variant, None)
                if callable(function):
                    found[function] = name
    return found


@cache
def _plain(function: Function, name: str) -> Function:
    """The variant of an elementwise function that overwrites nothing."""
    if name_of(function) == name:
        return function
    homes = (torch, torch.Tensor, F)
    plain: Function = next(f for home in homes if (f := getattr(home, name, None)) is not None)
    return plain


@cache
def _parameters(function: Function) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except ValueError:  # a built-in without a signature
        return ()
