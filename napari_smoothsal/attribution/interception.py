"""Interception: functions of a pass are found as they are called, to give them rules of their own.

*Functions* are intercepted, not modules: a ReLU that is shared between places, or called as a
function, is one call after the other here, and the network stays as it is. What is neither
linear nor has a rule is refused: its plain gradient would be silently wrong.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from napari_smoothsal.attribution.functions import (
    Function,
    carry_gradients,
    is_elementwise,
    is_linear,
    name_of,
)
from napari_smoothsal.core.errors import ModelError

MAXIMA: frozenset[Function] = frozenset(
    (F.max_pool2d, F.adaptive_max_pool2d, torch.amax, torch.Tensor.amax)
)
"""Functions that choose the largest of several values, whose gradient is the winner's."""


class Interception(TorchFunctionMode):
    """Sorts the calls that carry gradients by what they do to them, and asks for their rule.

    Parameters
    ----------
    method
        As messages call it.

    Attributes
    ----------
    maxima
        Functions that choose the largest of several values, as far as there is a rule for them.
    """

    maxima: ClassVar[frozenset[Function]] = MAXIMA

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def __torch_function__(
        self, function: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        gradients = len(carry_gradients(tree_leaves((args, kwargs))))
        if not gradients:
            return function(*args, **kwargs)
        if function in self.maxima:
            return self.maximum(function, args, kwargs)
        if is_elementwise(function) and gradients == 1:
            return self.bent(function, args, kwargs)
        if is_linear(function, args, kwargs, gradients):
            return self.linear(function, args, kwargs)
        result = function(*args, **kwargs)
        if carry_gradients(tree_leaves(result)):
            raise self.refusal(function)
        return result

    def maximum(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One of `maxima`."""
        return function(*args, **kwargs)

    def bent(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of single values; see `functions.out_of_place`."""
        raise NotImplementedError

    def linear(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function that is linear, but for a constant, in what carries gradients."""
        return function(*args, **kwargs)

    def refusal(self, function: Function) -> ModelError:
        """That there is no rule for a function."""
        return ModelError(
            f"method {self.method!r} has no rule for {name_of(function)!r}, which the model "
            "applies above the layer; choose 'gradient' or 'activation_x_gradient', or a layer "
            "above it"
        )
