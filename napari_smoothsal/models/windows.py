"""Where maps lie after what looks at windows: convolutions, poolings, resamplings, paddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from napari_smoothsal.models.axes import (
    COLUMNS,
    ROWS,
    Dimension,
    Placement,
    columns_of,
    map_dimensions,
    plain,
    rows_of,
)
from napari_smoothsal.models.geometry import (
    Geometry,
    Pair,
    Reads,
    aligned_cubic_reads,
    aligned_linear_reads,
    cubic_reads,
    linear_reads,
    nearest_exact_reads,
    nearest_reads,
)
from napari_smoothsal.models.operator_call import Made, OperatorCall, Parts

aten = torch.ops.aten

Change = Callable[[Geometry, OperatorCall], Geometry | None]


def of_maps(change: Change) -> Callable[[OperatorCall], Made]:
    """The rule of an operator that takes a map and makes one."""

    def rule(call: OperatorCall) -> Made:
        source = call.source
        if source is None or not source.is_map or call.made.ndim != 4:
            return Made()
        geometry = change(source.geometry, call)
        if geometry is None:
            return Made()
        height, width = call.shape[2:]
        return Made(Placement(geometry, map_dimensions(call.shape), (height, width)))

    return rule


def _pair(value: Any) -> Pair:
    values = [float(v) for v in value]
    return (values[0], values[-1])


def _size(tensor: torch.Tensor) -> Pair:
    return _pair(tensor.shape[2:])


def _convolution(g: Geometry, call: OperatorCall) -> Geometry:
    a = call.values
    kernel = _pair(a["weight"].shape[2:])
    change = g.transposed if a["transposed"] else g.windowed
    return change(kernel, _pair(a["stride"]), _pair(a["padding"]), _pair(a["dilation"]))


def _pooling(g: Geometry, call: OperatorCall) -> Geometry:
    a = call.values
    kernel = _pair(a["kernel_size"])
    stride = _pair(a["stride"]) if a["stride"] else kernel
    return g.windowed(kernel, stride, _pair(a["padding"]), _pair(a.get("dilation") or (1, 1)))


def _pooling_to(g: Geometry, call: OperatorCall) -> Geometry:
    return g.pooled_to(_size(call.args[0]), _size(call.made))


def _resampling(reads: Reads, aligned: Reads | None = None) -> Change:
    def change(g: Geometry, call: OperatorCall) -> Geometry:
        corners = bool(call.values.get("align_corners", False))
        chosen = aligned if corners and aligned is not None else reads
        return g.resized(_size(call.args[0]), _size(call.made), chosen, corners)

    return change


def _shuffling(g: Geometry, call: OperatorCall) -> Geometry:
    """Channels become pixels, each between those that it was one with."""
    step = (1 / call.args[1], 1 / call.args[1])
    offset = ((step[0] - 1) / 2, (step[1] - 1) / 2)
    moved = g.sliced(offset, step)
    # All that a pixel becomes depends on the same.
    far = [s * (1 - t) for s, t in zip(g.stride, step, strict=True)]
    return replace(moved, low=(g.low[0] - far[0], g.low[1] - far[1]), high=g.high)


def _unshuffling(g: Geometry, call: OperatorCall) -> Geometry:
    factor = (float(call.args[1]), float(call.args[1]))
    return g.windowed(factor, factor, (0.0, 0.0))


def padding(call: OperatorCall) -> Made:
    """Of paddings, which may be of any dimension."""
    source = call.source
    pads = list(call.values.get("pad") or call.values["padding"])
    if source is not None and not any(pads):
        return Made(source, Parts.APART)
    if source is None or source.rolled != (0, 0):
        return Made()
    start = [0.0, 0.0]
    grid, dimensions = list(source.grid), list(source.dimensions)
    for back in range(len(pads) // 2):
        before, after = pads[2 * back : 2 * back + 2]
        number = len(dimensions) - 1 - back
        if not (before or after):
            continue
        size = call.shape[number]
        axis = _axis_of(dimensions[number])
        if axis is None:
            return Made()
        if axis < 0:
            dimensions[number] = plain(size)
            continue
        start[axis], grid[axis] = -float(before), size
        dimensions[number] = rows_of(size) if axis == ROWS else columns_of(size)
    geometry = source.geometry.sliced((start[0], start[1]), (1.0, 1.0))
    return Made(Placement(geometry, tuple(dimensions), (grid[0], grid[1])), Parts.APART)


def slicing(call: OperatorCall, number: int, start: int, stop: int, step: int) -> Made:
    """Of every so many of the positions of a dimension."""
    source = call.source
    if source is None:
        return Made()
    size = call.args[0].shape[number]
    start, stop = (max(0, v + size if v < 0 else min(v, size)) for v in (start, stop))
    if (start, stop, step) == (0, size, 1):
        return Made(source, Parts.APART)
    dimension = source.dimensions[number]
    if len(dimension) == 1 and dimension[0].prefix:
        return _of_tokens(source, number, start, stop, step)
    axis = _axis_of(dimension)
    if axis is None or (axis >= 0 and source.rolled != (0, 0)):
        return Made()
    dimensions, length = list(source.dimensions), len(range(start, stop, step))
    if axis < 0:
        dimensions[number] = plain(length)
        return Made(replace(source, dimensions=tuple(dimensions)), Parts.APART)
    first, steps, grid = [0.0, 0.0], [1.0, 1.0], list(source.grid)
    first[axis], steps[axis], grid[axis] = float(start), float(step), length
    dimensions[number] = rows_of(length) if axis == ROWS else columns_of(length)
    geometry = source.geometry.sliced((first[0], first[1]), (steps[0], steps[1]))
    return Made(Placement(geometry, tuple(dimensions), (grid[0], grid[1])), Parts.APART)


def _of_tokens(source: Placement, number: int, start: int, stop: int, step: int) -> Made:
    (tokens,) = source.dimensions[number]
    if stop <= tokens.prefix:
        return Made(None, Parts.PREFIX)
    if stop < tokens.size or step != 1 or start > tokens.prefix:
        return Made(None, Parts.PATCHES if start >= tokens.prefix else Parts.MIXED)
    left = tokens.prefix - start
    dimensions = list(source.dimensions)
    dimensions[number] = (
        tokens.inner if not left else (replace(tokens, size=tokens.size - start, prefix=left),)
    )
    parts = Parts.APART if left else Parts.PATCHES
    return Made(replace(source, dimensions=tuple(dimensions)), parts)


def _axis_of(dimension: Dimension) -> int | None:
    """Of a dimension that is all rows or columns; -1 of one without places; None: else."""
    if not any(d.has_places for d in dimension):
        return -1
    if len(dimension) == 1 and dimension[0].unit == 1 and dimension[0].axis in (ROWS, COLUMNS):
        return dimension[0].axis
    return None


_NEAREST = of_maps(_resampling(nearest_reads))
_POOLING = of_maps(_pooling)

RULES: dict[Any, Callable[[OperatorCall], Made]] = {
    aten.convolution: of_maps(_convolution),
    aten.max_pool2d_with_indices: _POOLING,
    aten.max_pool2d: _POOLING,
    aten.mkldnn_max_pool2d: _POOLING,
    aten.avg_pool2d: _POOLING,
    aten._adaptive_avg_pool2d: of_maps(_pooling_to),
    aten.adaptive_avg_pool2d: of_maps(_pooling_to),
    aten.adaptive_max_pool2d: of_maps(_pooling_to),
    aten.max_unpool2d: _NEAREST,
    aten.upsample_nearest2d: _NEAREST,
    aten._upsample_nearest_exact2d: of_maps(_resampling(nearest_exact_reads)),
    aten.upsample_bilinear2d: of_maps(_resampling(linear_reads, aligned_linear_reads)),
    aten.upsample_bicubic2d: of_maps(_resampling(cubic_reads, aligned_cubic_reads)),
    aten.pixel_shuffle: of_maps(_shuffling),
    aten.pixel_unshuffle: of_maps(_unshuffling),
    aten.constant_pad_nd: padding,
    aten.reflection_pad2d: padding,
    aten.replication_pad2d: padding,
}
