"""The softmax or sigmoid at a network's end: which call it is, and a pass without it.

The call is found and left out as a *function* (`TorchFunctionMode`): a module, a method and a
function of torch arrive as the same, wherever they stand, and the network stays as it is. Those
inside, of attention or gates, are other calls than the one whose result is the output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.outputs import Place

_FUNCTIONS: dict[Callable[..., Any], str] = {
    F.softmax: "softmax",
    torch.softmax: "softmax",
    torch.Tensor.softmax: "softmax",
    torch.special.softmax: "softmax",
    F.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax",
    torch.Tensor.log_softmax: "log_softmax",
    torch.special.log_softmax: "log_softmax",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    torch.sigmoid_: "sigmoid",
    torch.Tensor.sigmoid: "sigmoid",
    torch.Tensor.sigmoid_: "sigmoid",
    torch.special.expit: "sigmoid",
    F.logsigmoid: "logsigmoid",
}

_MODULES = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid)

_VIEWS = {
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"),
    *("squeeze_", "unsqueeze_", "permute", "transpose", "t", "movedim", "moveaxis", "swapaxes"),
    *("contiguous", "clone", "detach", "to", "float", "double", "half", "bfloat16", "type"),
    *("type_as", "cpu", "cuda", "__getitem__", "__get__", "alias"),
}
"""What hands on every value of a tensor, in another shape or order."""


@dataclass(frozen=True)
class Head:
    """One call of softmax, sigmoid or their logarithms in a pass.

    Attributes
    ----------
    name
        Of the function.
    call, calls
        Which of the pass's calls of such functions it is, from 0, and how many there are.
    module
        Name of the module that is nothing but this call; None for a function.
    """

    name: str
    call: int
    calls: int
    module: str | None = None


class Watching(TorchFunctionMode):
    """Follows the results of such functions through a pass, as far as they are handed on whole.

    Attributes
    ----------
    calls
        How many there were.
    channels
        Of the image that the first convolution wanted and the image that it got; None where there
        was no convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.channels: tuple[int, int] | None = None
        self._made = WeakIdKeyDictionary()
        self._modules: dict[int, str] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "conv2d" and self.channels is None:
            self.channels = _channels(args, kwargs)
        result = function(*args, **kwargs)
        if function in _FUNCTIONS and "out" not in kwargs:
            self._made[result] = (_FUNCTIONS[function], self.calls)
            self.calls += 1
        elif isinstance(result, torch.Tensor) and name in _VIEWS and self._is_made(args):
            before = args[0]
            # Whether it still is what the call made, after writing in place, say, is checked later.
            if before.numel() == result.numel():
                self._made[result] = self._made[before]
        return result

    def _is_made(self, args: tuple[Any, ...]) -> bool:
        return bool(args) and isinstance(args[0], torch.Tensor) and args[0] in self._made

    def head_of(self, output: Any) -> Head | None:
        """The call that an output is the result of; None where it is of something else."""
        if not isinstance(output, torch.Tensor) or output not in self._made:
            return None
        name, call = self._made[output]
        return Head(name, call, self.calls, self._modules.get(call))

    def run(self, module: nn.Module, images: torch.Tensor) -> Any:
        """What a network makes of images."""

        def note(name: str) -> Callable[..., None]:
            def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
                if isinstance(output, torch.Tensor) and output in self._made:
                    self._modules[self._made[output][1]] = name

            return after

        named = [(n, m) for n, m in module.named_modules() if n and isinstance(m, _MODULES)]
        handles = [m.register_forward_hook(note(n)) for n, m in named]
        try:
            with self:
                return module(images)
        finally:
            for handle in handles:
                handle.remove()


def _channels(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int]:
    """Of a call of conv2d: how many channels its weights take, and how many its image has."""
    image, weight = (*args, *(kwargs[k] for k in ("input", "weight") if k in kwargs))[:2]
    groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
    return weight.shape[1] * groups, image.shape[-3]


class _Without(TorchFunctionMode):
    """Hands the input of one call on in place of its result."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self._head = head
        self.calls = 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function not in _FUNCTIONS or "out" in kwargs:
            return function(*args, **kwargs)
        call = self.calls
        self.calls += 1
        if call != self._head.call:
            return function(*args, **kwargs)
        if _FUNCTIONS[function] != self._head.name:
            raise _another_way(self._head)
        values = args[0] if args else kwargs["input"]
        return values if (dtype := kwargs.get("dtype")) is None else values.to(dtype)


class LogitsForward:
    """A network's forward that ends before its head and returns the logits alone.

    Parameters
    ----------
    forward
        The network's own, bound to the module whose forward this becomes: `copy.deepcopy` of
        that module brings both to the copy.
    place
        Of the logits among its outputs.
    head
        What is left out; None: nothing.
    """

    def __init__(self, forward: Callable[..., Any], place: Place, head: Head | None) -> None:
        self._forward = forward
        self.place = place
        self.head = head

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.head is None:
            return self.place.of(self._forward(*args, **kwargs))
        with _Without(self.head) as without:
            output = self._forward(*args, **kwargs)
        if without.calls != self.head.calls:
            raise _another_way(self.head)
        return self.place.of(output)


def _another_way(head: Head) -> ModelError:
    return ModelError(
        f"the network takes another way than on the probe tiles, so that the {head.name} at its "
        "end cannot be told from others in it; give a module whose forward returns logits"
    )


def returning_logits(module: nn.Module, place: Place, head: Head | None) -> nn.Module:
    """A module of the same children, parameters and names, whose forward is a `LogitsForward`.

    The given one stays as it is: only its own attributes are copied, and none of their values.
    """
    # torch.fx writes its forward into a class of its own with every copy; the function does not
    # need one.
    traced = isinstance(module, torch.fx.GraphModule)
    twin: nn.Module = object.__new__(nn.Module if traced else type(module))
    plain = nn.Module().__dict__
    for name, value in module.__dict__.items():
        if name in plain:  # dicts of children, parameters and hooks
            value = value.copy() if hasattr(value, "copy") else value
        elif traced:
            continue
        twin.__dict__[name] = value
    own = type(module).forward.__get__(twin) if traced else twin.forward
    twin.__dict__["forward"] = LogitsForward(own, place, head)
    return twin


def adapted_forward(module: nn.Module) -> LogitsForward | None:
    """That of a module from `returning_logits`, or a copy of one."""
    forward = module.__dict__.get("forward")
    return forward if isinstance(forward, LogitsForward) else None
