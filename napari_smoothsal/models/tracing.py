"""One traced forward pass: which modules make feature maps, and what lies above them.

The trace listens below autograd (`TorchDispatchMode`), where functional calls, methods and
modules all arrive as the same few operators, so nothing has to be rewritten in the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.geometry import Geometry
from napari_smoothsal.models.operators import geometry_of, is_linear
from napari_smoothsal.models.reach import NO_ANCESTRY, Ancestry, Reach, joined


@dataclass
class _Node:
    """What is known of one tensor of the pass."""

    geometry: Geometry | None
    ancestry: Ancestry = field(default_factory=lambda: NO_ANCESTRY)


@dataclass
class TracedLayer:
    """A module's output in the traced pass, and the modules that it depends on."""

    name: str
    shape: tuple[int, ...]
    geometry: Geometry
    ancestry: Ancestry = field(default_factory=lambda: NO_ANCESTRY)


@dataclass
class Trace:
    """Result of one traced pass.

    Attributes
    ----------
    layers
        Modules that make a feature map, in order of execution, ``input`` first.
    calls
        How often each module ran.
    strided
        Strided convolutions, in order of execution, each with the modules it depends on.
    reaches_output
        Modules that the network's output depends on.
    output_shape
        Of the network's output; None where it is not one tensor.
    """

    layers: list[TracedLayer] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    strided: dict[str, Ancestry] = field(default_factory=dict)
    reaches_output: Ancestry = field(default_factory=lambda: NO_ANCESTRY)
    output_shape: tuple[int, ...] | None = None


def is_strided(module: nn.Module) -> bool:
    """Whether a module is a convolution that skips pixels."""
    return isinstance(module, nn.Conv2d) and max(module.stride) > 1


def trace(module: nn.Module, image: torch.Tensor) -> Trace:
    """Run a module once on one image (1, C, H, W), in eval mode, and listen.

    Raises
    ------
    ModelError
        If the pass itself fails.
    """
    listener = _Listener(image)
    result = Trace(layers=[TracedLayer("input", tuple(image.shape), Geometry())])
    names = {child: name for name, child in module.named_modules() if name}

    def before(child: nn.Module, inputs: tuple[Any, ...]) -> None:
        if is_strided(child):
            result.strided[names[child]] = listener.ancestry(inputs)

    def after(child: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        name = names[child]
        result.calls[name] += 1
        if isinstance(output, torch.Tensor):
            node = listener.node(output)
            if is_strided(child):
                node.ancestry = listener.beyond(inputs[0], node.ancestry)
            below = {a: reach for a, reach in node.ancestry.items() if a != name}
            node.ancestry = {**below, name: Reach()}
            if node.geometry is not None and output.ndim == 4 and min(output.shape[2:]) > 1:
                result.layers.append(TracedLayer(name, tuple(output.shape), node.geometry, below))

    handles = []
    training = {m: m.training for m in module.modules()}
    try:
        for child in names:
            handles.append(child.register_forward_pre_hook(before))
            handles.append(child.register_forward_hook(after))
        module.eval()
        with torch.no_grad(), listener:
            output = module(image)
            result.reaches_output = listener.ancestry(_flat([output]))
            if isinstance(output, torch.Tensor):
                result.output_shape = tuple(output.shape)
    except Exception as error:  # a network may assert or index whatever it likes
        shape = tuple(image.shape)
        raise ModelError(f"the model failed on an input of shape {shape}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
        for m, mode in training.items():
            m.training = mode
    return result


class _Listener(TorchDispatchMode):
    """Follows geometry and ancestry of every tensor through the operators."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Weak: a pass over a large image would otherwise hold every tensor that it makes.
        self._nodes = WeakIdKeyDictionary()
        self._nodes[image] = _Node(Geometry(), {"input": Reach()})

    def node(self, tensor: torch.Tensor) -> _Node:
        if tensor not in self._nodes:
            self._nodes[tensor] = _Node(None)
        node: _Node = self._nodes[tensor]
        return node

    def geometry(self, tensor: torch.Tensor) -> Geometry | None:
        return self.node(tensor).geometry

    def ancestry(self, values: Iterable[Any]) -> Ancestry:
        return joined(self.node(v).ancestry for v in values if isinstance(v, torch.Tensor))

    def beyond(self, image: torch.Tensor, ancestry: Ancestry) -> Ancestry:
        """An ancestry after a strided convolution of an image."""
        geometry = self.geometry(image)
        stride = (1.0, 1.0) if geometry is None else geometry.stride
        return {name: reach.beyond(stride) for name, reach in ancestry.items()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        tensors = [t for t in _flat(args) + _flat(kwargs.values()) if t in self._nodes]
        if not tensors:
            return output
        ancestry = joined(self.node(t).ancestry for t in tensors)
        if not is_linear(func, tensors):
            ancestry = {name: reach.past_a_gate() for name, reach in ancestry.items()}
        for made in _flat([output]):
            geometry = geometry_of(func, args, kwargs, made, tensors, self.geometry)
            self._nodes[made] = _Node(geometry, ancestry)
        return output


def _flat(values: Iterable[Any]) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _flat(value)
    return found
