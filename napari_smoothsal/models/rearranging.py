"""Where values lie after a tensor is reshaped, permuted, cut, repeated or joined with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from napari_smoothsal.models.axes import (
    COLUMNS,
    ROWS,
    Digit,
    Dimensions,
    Placement,
    has_places,
    met,
    plain,
    reshaped,
)
from napari_smoothsal.models.operator_call import Made, OperatorCall, Parts
from napari_smoothsal.models.windows import slicing

aten = torch.ops.aten

_ALL = 2**62
"""The end of a slice that has none; PyTorch's own is larger."""


def of_dimensions(
    change: Callable[[Dimensions, OperatorCall], Dimensions | None],
) -> Callable[[OperatorCall], Made]:
    """The rule of an operator that moves values without looking at them."""

    def rule(call: OperatorCall) -> Made:
        source = call.source
        if source is None:
            return Made()
        placement = source.rearranged(change(source.dimensions, call))
        return Made(placement, Parts.MIXED if placement is None else Parts.APART)

    return rule


def _reshaped(dimensions: Dimensions, call: OperatorCall) -> Dimensions | None:
    return reshaped(dimensions, call.shape)


def _permuted(dimensions: Dimensions, call: OperatorCall) -> Dimensions:
    return tuple(dimensions[d] for d in call.values["dims"])


def _transposed(dimensions: Dimensions, call: OperatorCall) -> Dimensions:
    found, a, b = list(dimensions), call.values["dim0"], call.values["dim1"]
    found[a], found[b] = found[b], found[a]
    return tuple(found)


def _turned(dimensions: Dimensions, _call: OperatorCall) -> Dimensions:
    return dimensions[::-1]


def _unsqueezed(dimensions: Dimensions, call: OperatorCall) -> Dimensions:
    at = call.values["dim"] % (len(dimensions) + 1)
    return (*dimensions[:at], (), *dimensions[at:])


def _squeezed(dimensions: Dimensions, call: OperatorCall) -> Dimensions:
    dim = call.values.get("dim")
    count = len(dimensions)
    asked = range(count) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {d % count for d in asked if call.args[0].shape[d] == 1}
    return tuple(d for number, d in enumerate(dimensions) if number not in gone)


def _expanded(dimensions: Dimensions, call: OperatorCall) -> Dimensions:
    dimensions = ((),) * (len(call.shape) - len(dimensions)) + dimensions
    return tuple(
        dim if has_places(dim) else plain(size)
        for dim, size in zip(dimensions, call.shape, strict=True)
    )


def _selecting(call: OperatorCall) -> Made:
    """One position of a dimension, which goes."""
    source = call.source
    if source is None:
        return Made()
    number = call.values.get("dim", 0) % len(source.dimensions)
    dimension = source.dimensions[number]
    without = (*source.dimensions[:number], *source.dimensions[number + 1 :])
    if not has_places(dimension):
        return Made(source.rearranged(without), Parts.APART)
    if len(dimension) == 1 and dimension[0].prefix:
        index = call.values.get("index", call.number) % dimension[0].size
        prefix = index < dimension[0].prefix
        return Made(None, Parts.PREFIX if prefix else Parts.PATCHES)
    return Made()


def _slicing(call: OperatorCall) -> Made:
    a = call.values
    number = a["dim"] % call.args[0].ndim
    stop = _ALL if a["end"] is None else a["end"]
    return slicing(call, number, a["start"] or 0, stop, a["step"])


def _splitting(call: OperatorCall) -> Made:
    a, given = call.values, call.args[0]
    number = a["dim"] % given.ndim
    sizes = a.get("split_sizes") or a.get("split_size")
    if isinstance(sizes, int):
        start = call.number * sizes
    else:
        assert sizes is not None
        start = sum(sizes[: call.number])
    return slicing(call, number, start, start + call.shape[number], 1)


def _concatenating(call: OperatorCall) -> Made:
    tensors = list(call.args[0])
    number = call.values["dim"] % call.made.ndim
    placements = [call.known(t) for t in tensors]
    found = [p for p in placements if p is not None]
    if not found:
        return Made()
    if not any(has_places(p.dimensions[number]) for p in found):
        placement = met(found, call.shape, alike=number)
        # What is broadcast is as good as the rest; what has lost its place is not.
        lost = any(p is None and call.depends(t) for p, t in zip(placements, tensors, strict=True))
        if placement is None or not lost:
            return Made(placement, Parts.MIXED if placement is None else Parts.APART)
        return Made(placement.everywhere(), Parts.MIXED)
    return _with_prefix(tensors, placements, number)


def _with_prefix(
    tensors: Sequence[torch.Tensor], placements: Sequence[Placement | None], number: int
) -> Made:
    """Patches after tokens that are none."""
    *before, last = placements
    if last is None or any(p is not None for p in before):
        return Made()
    dimension = last.dimensions[number]
    digits = dimension[0].inner if dimension[0].prefix else dimension
    if {d.axis for d in digits} != {ROWS, COLUMNS}:
        return Made()
    size = sum(t.shape[number] for t in tensors)
    prefix = size - tensors[-1].shape[number] + dimension[0].prefix
    dimensions = list(last.dimensions)
    dimensions[number] = (Digit(None, size, prefix=prefix, inner=digits),)
    return Made(replace(last, dimensions=tuple(dimensions)), Parts.APART)


def _stacking(call: OperatorCall) -> Made:
    tensors = list(call.args[0])
    found = [p for p in map(call.known, tensors) if p is not None]
    if not found:
        return Made()
    number = call.values["dim"] % call.made.ndim
    shape = [s for n, s in enumerate(call.shape) if n != number]
    placement = met(found, shape)
    if placement is None:
        return Made()
    dims = placement.dimensions
    dimensions = (*dims[:number], plain(len(tensors)), *dims[number:])
    return Made(replace(placement, dimensions=dimensions), Parts.APART)


def _rolling(call: OperatorCall) -> Made:
    source = call.source
    if source is None:
        return Made()
    rolled = list(source.rolled)
    for shift, dim in zip(call.values["shifts"], call.values["dims"], strict=False):
        dimension = source.dimensions[dim]
        if not has_places(dimension):
            continue
        digit = dimension[0]
        if len(dimension) > 1 or digit.axis is None or digit.unit != 1:
            return Made()
        rolled[digit.axis] = (rolled[digit.axis] + shift) % digit.size
    if not call.values["dims"]:
        return Made()
    return Made(replace(source, rolled=(rolled[0], rolled[1])), Parts.APART)


_RESHAPING = of_dimensions(_reshaped)

RULES: dict[Any, Callable[[OperatorCall], Made]] = {
    aten.view: _RESHAPING,
    aten._unsafe_view: _RESHAPING,
    aten.reshape: _RESHAPING,
    aten._reshape_alias: _RESHAPING,
    aten.permute: of_dimensions(_permuted),
    aten.transpose: of_dimensions(_transposed),
    aten.t: of_dimensions(_turned),
    aten.unsqueeze: of_dimensions(_unsqueezed),
    aten.squeeze: of_dimensions(_squeezed),
    aten.expand: of_dimensions(_expanded),
    aten.select: _selecting,
    aten.unbind: _selecting,
    aten.slice: _slicing,
    aten.split: _splitting,
    aten.split_with_sizes: _splitting,
    aten.cat: _concatenating,
    aten.stack: _stacking,
    aten.roll: _rolling,
}
