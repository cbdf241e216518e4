"""Where values lie after places are mixed: products of matrices, attention, norms, reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from napari_smoothsal.models.axes import Placement, has_places, plain
from napari_smoothsal.models.geometry import Geometry
from napari_smoothsal.models.operator_call import Made, OperatorCall, Parts

aten = torch.ops.aten


def _product(call: OperatorCall) -> Made:
    """A matrix product: the last dimension of the left with the last but one of the right."""
    a = call.values
    left = a.get("mat1", a.get("self"))
    if "batch1" in a:
        left = a["batch1"]
    right = a.get("mat2", a.get("batch2"))
    assert isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor)
    mine, others = call.known(left), call.known(right)
    columns = plain(call.shape[-1])
    kept = mine is not None and any(map(has_places, mine.dimensions[:-1]))
    if mine is not None and kept:
        placement = mine
        if others is not None:
            # Each place has to do with all that it is multiplied by: attention.
            theirs = others.widened(others.dimensions[-2:])
            placement = replace(mine, geometry=_union(mine, theirs))
        elif call.depends(right):
            placement = mine.everywhere()
        apart = not call.depends(right) and not has_places(mine.dimensions[-1])
        summed = placement.pooled((*mine.dimensions[:-1], columns))
        return Made(summed, Parts.APART if apart and summed else Parts.MIXED)
    if others is not None and mine is None:
        rows = (*others.dimensions[:-2], plain(call.shape[-2]), others.dimensions[-1])
        widened = others.widened(others.dimensions[-2:-1])
        if call.depends(left):
            widened = widened.everywhere()
        apart = not call.depends(left) and not has_places(others.dimensions[-2])
        summed = widened.rearranged(rows)
        return Made(summed, Parts.APART if apart and summed else Parts.MIXED)
    return Made()


def _union(one: Placement, other: Placement) -> Geometry:
    a, b = one.geometry, other.geometry
    return replace(
        a,
        low=(min(a.low[0], b.low[0]), min(a.low[1], b.low[1])),
        high=(max(a.high[0], b.high[0]), max(a.high[1], b.high[1])),
    )


def _attention(call: OperatorCall) -> Made:
    """Scaled dot products of queries, keys and values (..., tokens, d): places of the queries."""
    asking, key = call.source, call.args[1]
    seen = call.known(key)
    if asking is None or call.number > 0 or call.made.ndim != len(asking.dimensions):
        return Made()
    dimensions = (*asking.dimensions[:-1], plain(call.shape[-1]))
    placement = asking.rearranged(dimensions)
    if placement is None:
        return Made()
    if seen is None:
        return Made(placement.everywhere() if call.depends(key) else placement)
    widened = seen.widened(seen.dimensions[-2:-1])
    return Made(replace(placement, geometry=_union(placement, widened)))


def _encoding(call: OperatorCall) -> Made:
    """Whole blocks of PyTorch's own as one operator: tokens (B, N, C) in and out."""
    source = call.source
    if source is None or call.number > 0 or call.made.shape != call.args[0].shape:
        return Made()
    return Made(source.widened(source.dimensions[1:2]))


def _layer_norm(call: OperatorCall) -> Made:
    source = call.source
    if source is None or call.number > 0:
        return Made()
    over = source.dimensions[-len(call.values["normalized_shape"]) :]
    mixes = any(map(has_places, over))
    return Made(source.widened(over), Parts.MIXED if mixes else Parts.APART)


def _group_norm(call: OperatorCall) -> Made:
    source = call.source
    if source is None or call.number > 0:
        return Made()
    return Made(source.widened(source.dimensions[2:]))


def _batch_norm(call: OperatorCall) -> Made:
    source = call.source
    if source is None or call.number > 0:
        return Made()
    if call.values.get("training", "_legit.no_stats" in str(call.func)):
        return Made(source.widened([source.dimensions[0], *source.dimensions[2:]]))
    return Made(source, Parts.APART)


def _along(call: OperatorCall) -> Made:
    """Softmax, running sums and the like, along one dimension."""
    source = call.source
    if source is None or call.number > 0:
        return Made()
    along = source.dimensions[call.values["dim"]]
    return Made(source.widened([along]), Parts.MIXED if has_places(along) else Parts.APART)


def _reducing(call: OperatorCall) -> Made:
    """Sums, means and maxima over dimensions."""
    source, a = call.source, call.values
    if source is None:
        return Made()
    count = len(source.dimensions)
    dim = a.get("dim")
    over = {d % count for d in ([dim] if isinstance(dim, int) else dim or range(count))}
    kept = tuple(
        () if d in over else dimension
        for d, dimension in enumerate(source.dimensions)
        if a.get("keepdim") or d not in over
    )
    if not any(has_places(source.dimensions[d]) for d in over):
        return Made(source.rearranged(kept), Parts.APART)
    if source.is_map and over == {2, 3} and a.get("keepdim"):
        geometry = source.geometry.pooled_to(source.grid, (1, 1))
        return Made(Placement(geometry, (*source.dimensions[:2], (), ()), (1, 1)))
    return Made(source.pooled(kept))


RULES: dict[Any, Callable[[OperatorCall], Made]] = {
    aten.mm: _product,
    aten.addmm: _product,
    aten.bmm: _product,
    aten.baddbmm: _product,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention: _attention,
    aten._scaled_dot_product_efficient_attention: _attention,
    aten._scaled_dot_product_cudnn_attention: _attention,
    aten._scaled_dot_product_attention_math: _attention,
    aten.scaled_dot_product_attention: _attention,
    aten._native_multi_head_attention: _encoding,
    aten._transformer_encoder_layer_fwd: _encoding,
    aten.native_layer_norm: _layer_norm,
    aten.native_group_norm: _group_norm,
    aten.native_batch_norm: _batch_norm,
    aten.cudnn_batch_norm: _batch_norm,
    aten._native_batch_norm_legit: _batch_norm,
    aten._native_batch_norm_legit_no_training: _batch_norm,
    aten._batch_norm_with_update: _batch_norm,
    aten._softmax: _along,
    aten._log_softmax: _along,
    aten.cumsum: _along,
    aten.mean: _reducing,
    aten.sum: _reducing,
    aten.amax: _reducing,
    aten.amin: _reducing,
    aten.max: _reducing,
    aten.min: _reducing,
    aten.var: _reducing,
    aten.var_mean: _reducing,
    aten.linalg_vector_norm: _reducing,
}
