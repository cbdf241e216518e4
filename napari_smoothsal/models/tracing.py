"""One traced forward pass: which modules make feature maps, and what lies above them.

The trace listens below autograd (`TorchDispatchMode`), where functional calls, methods and
modules all arrive as the same few operators, so nothing has to be rewritten in the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.geometry import Geometry, merged

aten = torch.ops.aten


Pair = tuple[float, float]


@dataclass(frozen=True)
class Span:
    """Sums along several paths, (y, x): where it is least, and where it is most."""

    least: Pair = (0.0, 0.0)
    most: Pair = (0.0, 0.0)

    def plus(self, stride: Pair) -> Span:
        """Of the same paths after one more step."""
        (a, b), (c, d), (y, x) = self.least, self.most, stride
        return Span((a + y, b + x), (c + y, d + x))

    def joined(self, other: Span | None) -> Span:
        """Of these paths and others."""
        if other is None:
            return self
        (a, b), (c, d) = self.least, other.least
        (e, f), (g, h) = self.most, other.most
        return Span((min(a, c), min(b, d)), (max(e, g), max(f, h)))


@dataclass(frozen=True)
class Reach:
    """What lies between a module's output and a tensor that depends on it.

    Attributes
    ----------
    whole
        The strides, in tile px, of the inputs of all strided convolutions along a path, summed.
    gated, open
        The same as far as the first non-linearity, of the paths that have met one and of those
        that have not; None where there is no such path.
    """

    whole: Span = Span()
    gated: Span | None = None
    open: Span | None = Span()

    @property
    def near(self) -> Span:
        """The sums as far as the first non-linearity, of all paths."""
        if self.open is None:
            assert self.gated is not None, "a path is the one or the other"
            return self.gated
        return self.open.joined(self.gated)

    def beyond(self, stride: Pair) -> Reach:
        """After one more strided convolution, whose input has this stride."""
        further = None if self.open is None else self.open.plus(stride)
        return Reach(self.whole.plus(stride), self.gated, further)

    def past_a_gate(self) -> Reach:
        """After a non-linearity."""
        return Reach(self.whole, self.near, None)

    def joined(self, other: Reach) -> Reach:
        """Where two paths meet."""
        return Reach(
            self.whole.joined(other.whole),
            other.gated if self.gated is None else self.gated.joined(other.gated),
            other.open if self.open is None else self.open.joined(other.open),
        )


Ancestry = Mapping[str, Reach]
"""The modules that a tensor depends on."""

_NONE: Ancestry = MappingProxyType({})


def _joined(ancestries: Iterable[Ancestry]) -> Ancestry:
    found: dict[str, Reach] = {}
    for ancestry in ancestries:
        for name, reach in ancestry.items():
            found[name] = reach if name not in found else found[name].joined(reach)
    return found


@dataclass
class _Node:
    """What is known of one tensor of the pass."""

    geometry: Geometry | None
    ancestry: Ancestry = field(default_factory=lambda: _NONE)


@dataclass
class TracedLayer:
    """A module's output in the traced pass, and the modules that it depends on."""

    name: str
    shape: tuple[int, ...]
    geometry: Geometry
    ancestry: Ancestry = field(default_factory=lambda: _NONE)


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
    reaches_output: Ancestry = field(default_factory=lambda: _NONE)
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

    def ancestry(self, values: Iterable[Any]) -> Ancestry:
        return _joined(self.node(v).ancestry for v in values if isinstance(v, torch.Tensor))

    def beyond(self, image: torch.Tensor, ancestry: Ancestry) -> Ancestry:
        """An ancestry after a strided convolution of an image."""
        geometry = self.node(image).geometry
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
        ancestry = _joined(self.node(t).ancestry for t in tensors)
        if not _is_linear(func, tensors):
            ancestry = {name: reach.past_a_gate() for name, reach in ancestry.items()}
        for made in _flat([output]):
            geometry = _geometry(func, args, kwargs, made, tensors, self.node)
            self._nodes[made] = _Node(geometry, ancestry)
        return output


def _is_linear(func: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether an operator weighs what flows through it in the same way whatever it is."""
    if func.overloadpacket in _PRODUCTS:
        return len(tensors) == 1
    return func.overloadpacket in _LINEAR


def _flat(values: Iterable[Any]) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _flat(value)
    return found


def _geometry(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    made: torch.Tensor,
    tensors: list[torch.Tensor],
    node: Callable[[torch.Tensor], _Node],
) -> Geometry | None:
    if made.ndim != 4:
        return None
    rule = _RULES.get(func.overloadpacket)
    if rule is not None:
        source = node(args[0]).geometry
        if source is None:
            return None
        bound = _bound(func, args, kwargs)
        geometry: Geometry | None = rule(source, bound, args[0], made)
        return geometry
    # Everything else keeps the placement where it keeps the size: activations, norms,
    # sums, concatenations along channels. What changes the size has no known placement.
    same = [t for t in tensors if t.ndim == 4 and t.shape[2:] == made.shape[2:]]
    known = [g for g in (node(t).geometry for t in same) if g is not None]
    if not known or len(known) != len(same) or func.overloadpacket in _SCRAMBLING:
        return None
    return merged(known)


def _bound(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by their schema names, defaults included."""
    values = {}
    for index, argument in enumerate(func._schema.arguments):
        if index < len(args):
            values[argument.name] = args[index]
        else:
            default = argument.default_value if argument.has_default_value() else None
            values[argument.name] = kwargs.get(argument.name, default)
    return values


def _pair(value: Any) -> tuple[float, float]:
    values = [float(v) for v in value]
    return (values[0], values[-1])


def _convolution(g: Geometry, a: dict[str, Any], _x: torch.Tensor, _y: torch.Tensor) -> Geometry:
    kernel = _pair(a["weight"].shape[2:])
    change = g.transposed if a["transposed"] else g.windowed
    return change(kernel, _pair(a["stride"]), _pair(a["padding"]), _pair(a["dilation"]))


def _pooling(g: Geometry, a: dict[str, Any], _x: torch.Tensor, _y: torch.Tensor) -> Geometry:
    kernel = _pair(a["kernel_size"])
    stride = _pair(a["stride"]) if a["stride"] else kernel
    dilation = _pair(a.get("dilation") or (1, 1))
    return g.windowed(kernel, stride, _pair(a["padding"]), dilation)


def _adaptive(g: Geometry, _a: dict[str, Any], x: torch.Tensor, y: torch.Tensor) -> Geometry | None:
    sizes = [(i, o) for i, o in zip(x.shape[2:], y.shape[2:], strict=True)]
    if any(i % o for i, o in sizes):
        return None  # windows of unequal size: no single stride
    step = (sizes[0][0] / sizes[0][1], sizes[1][0] / sizes[1][1])
    return g.windowed(step, step, (0.0, 0.0))


def _resampling(g: Geometry, a: dict[str, Any], x: torch.Tensor, y: torch.Tensor) -> Geometry:
    aligned = bool(a.get("align_corners", False))
    return g.resized(_pair(x.shape[2:]), _pair(y.shape[2:]), aligned)


def _padding(g: Geometry, a: dict[str, Any], _x: torch.Tensor, _y: torch.Tensor) -> Geometry:
    left, _right, top, _bottom = [*(a.get("pad") or a["padding"]), 0, 0][:4]
    return g.windowed((1.0, 1.0), (1.0, 1.0), (float(top), float(left)))


def _mean(g: Geometry, _a: dict[str, Any], x: torch.Tensor, y: torch.Tensor) -> Geometry | None:
    return g if x.shape[2:] == y.shape[2:] else None


_RULES: dict[Any, Callable[..., Geometry | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pooling,
    aten.max_pool2d: _pooling,
    aten.mkldnn_max_pool2d: _pooling,
    aten.avg_pool2d: _pooling,
    aten._adaptive_avg_pool2d: _adaptive,
    aten.adaptive_max_pool2d: _adaptive,
    aten.upsample_nearest2d: _resampling,
    aten._upsample_nearest_exact2d: _resampling,
    aten.upsample_bilinear2d: _resampling,
    aten.upsample_bicubic2d: _resampling,
    aten.constant_pad_nd: _padding,
    aten.reflection_pad2d: _padding,
    aten.replication_pad2d: _padding,
    aten.mean: _mean,
}

_PRODUCTS = {aten.mul, aten.mul_, aten.div, aten.div_, aten.mm, aten.bmm, aten.addmm}

_LINEAR = {
    aten.convolution,
    aten.native_batch_norm,
    aten.cudnn_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten.add,
    aten.add_,
    aten.sub,
    aten.sub_,
    aten.cat,
    aten.mean,
    aten.sum,
    aten.avg_pool2d,
    aten._adaptive_avg_pool2d,
    aten.adaptive_avg_pool2d,
    aten.upsample_nearest2d,
    aten._upsample_nearest_exact2d,
    aten.upsample_bilinear2d,
    aten.upsample_bicubic2d,
    aten.constant_pad_nd,
    aten.reflection_pad2d,
    aten.replication_pad2d,
    aten.clone,
    aten.detach,
    aten.alias,
    aten._to_copy,
    aten.slice,
    aten.select,
    aten.expand,
    aten.unsqueeze,
    aten.squeeze,
    aten.permute,
    aten.transpose,
    aten.t,
    aten.view,
    aten._unsafe_view,
    aten.reshape,
}
"""Whatever is not known to be linear counts as a non-linearity: then less is concluded."""

_SCRAMBLING = {
    aten.permute,
    aten.transpose,
    aten.t,
    aten.flip,
    aten.roll,
    aten.view,
    aten._unsafe_view,
    aten.reshape,
}
"""Operators that may keep a size by chance and still move pixels."""
