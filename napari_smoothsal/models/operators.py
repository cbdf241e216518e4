"""What operators do to what flows through them: where it lies then, and whether it stays linear."""

from __future__ import annotations

from typing import Any

import torch

from napari_smoothsal.models import mixing, rearranging, windows
from napari_smoothsal.models.axes import met
from napari_smoothsal.models.operator_call import Made, OperatorCall, Parts

aten = torch.ops.aten

_RULES = {**windows.RULES, **rearranging.RULES, **mixing.RULES}


def is_new(func: Any) -> bool:
    """Whether an operator takes a tensor for its shape or type alone."""
    return func.overloadpacket in _NEW


def is_linear(func: Any, tensors: list[torch.Tensor]) -> bool:
    """Whether an operator weighs what flows through it in the same way whatever it is."""
    if func.overloadpacket in _PRODUCTS:
        return len(tensors) == 1
    return func.overloadpacket in _LINEAR


def made_by(call: OperatorCall) -> Made:
    """Where what an operator made lies on the tile, by where its tensors do."""
    packet = call.func.overloadpacket
    if rule := _RULES.get(packet):
        return rule(call)
    found = call.placements
    if not found or packet in _SCATTERING:
        return Made()
    if torch.Tag.pointwise in call.func.tags or packet in _VALUE_BY_VALUE:
        return _value_by_value(call)
    # Whatever else keeps the shape is taken to keep the places, too, and to mix them all.
    if call.source is not None and call.made.shape == call.args[0].shape:
        return Made(call.source.everywhere())
    return Made()


def _value_by_value(call: OperatorCall) -> Made:
    """Activations, sums and products: places are kept."""
    found = call.placements
    placement = met(found, call.shape)
    if placement is None:
        return Made()
    # What has no place can come from anywhere. A residual beside it keeps its own.
    if any(call.known(t) is None and t.ndim for t in call.tensors):
        placement = placement.everywhere()
    return Made(placement, Parts.APART)


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

_NEW = {
    aten.new_zeros,
    aten.new_ones,
    aten.new_full,
    aten.new_empty,
    aten.zeros_like,
    aten.ones_like,
    aten.full_like,
    aten.empty_like,
    aten.rand_like,
    aten.randn_like,
}

_VALUE_BY_VALUE = {
    aten.alias,
    aten.detach,
    aten.clone,
    aten.contiguous,
    aten._to_copy,
    aten.copy_,
    aten.lift_fresh,
    aten.hardswish_,
    aten.masked_fill_,
    aten.native_dropout,
    aten.prelu,
    aten._prelu_kernel,
    aten.where,
}
"""Where PyTorch does not say so itself."""

_SCATTERING = {
    aten.flip,
    aten.index,
    aten.index_select,
    aten.gather,
    aten.scatter,
    aten.sort,
    aten.take,
    aten.im2col,
    aten.col2im,
    aten.unfold,
    aten.as_strided,
    aten.as_strided_,
    aten.grid_sampler_2d,
    aten._fft_r2c,
    aten._fft_c2r,
    aten._fft_c2c,
}
"""Operators that may keep a size by chance and still move pixels."""
