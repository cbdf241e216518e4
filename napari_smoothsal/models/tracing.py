"""One traced forward pass: which modules make feature maps, and what lies above them.

The trace listens below autograd (`TorchDispatchMode`), where functional calls, methods and
modules all arrive as the same few operators, so nothing has to be rewritten in the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.axes import Placement, map_dimensions
from napari_smoothsal.models.geometry import Geometry
from napari_smoothsal.models.layout import MAP, Layout, layout_of
from napari_smoothsal.models.operator_call import Made, OperatorCall, Parts
from napari_smoothsal.models.operators import is_linear, is_new, made_by
from napari_smoothsal.models.reach import NO_ANCESTRY, Ancestry, Reach, joined, past_a_gate


@dataclass
class _Node:
    """What is known of one tensor of the pass.

    ``ancestry`` is that of its patches where it is of tokens, ``prefix`` that of the tokens that
    are none: a class token depends on what the patches are where it looks at them.
    """

    placement: Placement | None
    ancestry: Ancestry = field(default_factory=lambda: NO_ANCESTRY)
    prefix: Ancestry | None = None

    @property
    def whole(self) -> Ancestry:
        """All that any part depends on."""
        return self.ancestry if self.prefix is None else joined([self.ancestry, self.prefix])


@dataclass
class TracedLayer:
    """A module's output in the traced pass, and the modules that it depends on.

    Attributes
    ----------
    name
        Of the module.
    shape
        (1, C, h, w), in whatever order of dimensions the module returns it.
    geometry
        Where it lies.
    layout
        That order.
    ancestry
        Modules that it depends on.
    passes_on
        Whether the module only hands on what it was given.
    """

    name: str
    shape: tuple[int, ...]
    geometry: Geometry
    layout: Layout = MAP
    ancestry: Ancestry = field(default_factory=lambda: NO_ANCESTRY)
    passes_on: bool = False


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

    versions: dict[str, tuple[object, int]] = {}

    def before(child: nn.Module, inputs: tuple[Any, ...]) -> None:
        if is_strided(child):
            result.strided[names[child]] = listener.ancestry(inputs)
        if inputs and isinstance(inputs[0], torch.Tensor):
            versions[names[child]] = (inputs[0], inputs[0]._version)

    def after(child: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        name = names[child]
        result.calls[name] += 1
        given, version = versions.pop(name, (None, 0))
        if not isinstance(output, torch.Tensor):
            return
        node = listener.node(output)
        if is_strided(child):
            node.ancestry = listener.beyond(inputs[0], node.ancestry)
        below = {a: reach for a, reach in node.ancestry.items() if a != name}
        node.ancestry = {**below, name: Reach()}
        layout = None if node.placement is None else layout_of(node.placement)
        if node.placement is None or layout is None or min(node.placement.grid) < 2:
            return
        shape = (1, output.shape[layout.channel_dim], *node.placement.grid)
        # An in-place ReLU returns what it was given, too, but has written into it.
        unchanged = output is given and output._version == version
        result.layers.append(
            TracedLayer(name, shape, node.placement.geometry, layout, below, unchanged)
        )

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
    """Follows places and ancestry of every tensor through the operators."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Weak: a pass over a large image would otherwise hold every tensor that it makes.
        self._nodes = WeakIdKeyDictionary()
        grid = (image.shape[2], image.shape[3])
        placement = Placement(Geometry(), map_dimensions(image.shape), grid)
        self._nodes[image] = _Node(placement, {"input": Reach()})

    def node(self, tensor: torch.Tensor) -> _Node:
        if tensor not in self._nodes:
            self._nodes[tensor] = _Node(None)
        node: _Node = self._nodes[tensor]
        return node

    def placement(self, tensor: torch.Tensor) -> Placement | None:
        return self._nodes[tensor].placement if tensor in self._nodes else None

    def ancestry(self, values: Iterable[Any]) -> Ancestry:
        return joined(self.node(v).whole for v in values if isinstance(v, torch.Tensor))

    def beyond(self, image: torch.Tensor, ancestry: Ancestry) -> Ancestry:
        """An ancestry after a strided convolution of an image."""
        placement = self.placement(image)
        stride = (1.0, 1.0) if placement is None else placement.geometry.stride
        return {name: reach.beyond(stride) for name, reach in ancestry.items()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        tensors = [t for t in _flat(args) + _flat(kwargs.values()) if t in self._nodes]
        if not tensors or is_new(func):
            return output
        linear = is_linear(func, tensors)
        for number, made in enumerate(_flat([output])):
            call = OperatorCall(func, args, kwargs, made, number, tensors, self.placement)
            self._nodes[made] = self._made(made_by(call), [self.node(t) for t in tensors], linear)
        return output

    @staticmethod
    def _made(made: Made, given: Sequence[_Node], linear: bool) -> _Node:
        prefixed = made.placement is not None and made.placement.prefixed
        patches = whole = joined(node.whole for node in given)
        prefix = whole if prefixed else None
        if made.parts is Parts.PREFIX:
            patches = joined(
                node.ancestry if node.prefix is None else node.prefix for node in given
            )
        elif made.parts is Parts.PATCHES:
            patches = joined(node.ancestry for node in given)
        elif made.parts is Parts.APART and prefixed:
            # Without a prefix of its own: what it is put together of, or what has no places.
            placed = [node for node in given if node.placement is not None]
            others = [node for node in given if node.placement is None]
            patches = joined(node.ancestry for node in (*placed, *others))
            prefixes = [node.prefix for node in placed if node.prefix is not None]
            prefix = joined([*prefixes, *(node.ancestry for node in others)])
        if not linear:
            patches = past_a_gate(patches)
            prefix = None if prefix is None else past_a_gate(prefix)
        return _Node(made.placement, patches, prefix)


def _flat(values: Iterable[Any]) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _flat(value)
    return found
