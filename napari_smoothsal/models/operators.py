"""What operators do to what flows through them: where it lies then, and whether it stays linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from napari_smoothsal.models.geometry import Geometry, merged

aten = torch.ops.aten


def is_linear(func: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether an operator weighs what flows through it in the same way whatever it is."""
    if func.overloadpacket in _PRODUCTS:
        return len(tensors) == 1
    return func.overloadpacket in _LINEAR


def geometry_of(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    made: torch.Tensor,
    tensors: list[torch.Tensor],
    known: Callable[[torch.Tensor], Geometry | None],
) -> Geometry | None:
    """Where what an operator made lies on the tile, by where its tensors do; None: unknown."""
    if made.ndim != 4:
        return None
    rule = _RULES.get(func.overloadpacket)
    if rule is not None:
        source = known(args[0])
        if source is None:
            return None
        bound = _bound(func, args, kwargs)
        geometry: Geometry | None = rule(source, bound, args[0], made)
        return geometry
    # Everything else keeps the placement where it keeps the size: activations, norms,
    # sums, concatenations along channels. What changes the size has no known placement.
    same = [t for t in tensors if t.ndim == 4 and t.shape[2:] == made.shape[2:]]
    found = [g for g in map(known, same) if g is not None]
    if not found or len(found) != len(same) or func.overloadpacket in _SCRAMBLING:
        return None
    return merged(found)


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
