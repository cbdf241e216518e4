"""Reach into a forward pass: layer outputs that gradients can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import LayerInfo
from napari_smoothsal.models.layout import MAP


@contextmanager
def captured(
    module: nn.Module,
    layers: Sequence[str],
    disturbed: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType({}),
    infos: Mapping[str, LayerInfo] = MappingProxyType({}),
) -> Iterator[dict[str, torch.Tensor]]:
    """Collect the outputs of the named layers while the block runs the module.

    The lowest layer's output becomes a leaf, so that autograd records only what lies above it;
    what is handed on is a *clone* of it, since an in-place ReLU that follows would refuse (or
    overwrite) the leaf. ``"input"`` is the image: the module's own first argument.

    Parameters
    ----------
    module, layers
        The network, and the names of its modules.
    disturbed
        By layer, what changes its map before anything else sees it: noise at the layer.
    infos
        By layer, what is known of it. A map that a module returns in another order of dimensions,
        such as tokens, is brought into (B, C, h, w) and handed on as it came; tokens that are no
        patches (a class token, registers) go past it as they are. Of others: (B, C, h, w).

    Yields
    ------
    dict
        Filled by the forward pass: (B, C, h, w) by layer name.
    """
    outputs: dict[str, torch.Tensor] = {}
    handles = []
    sides: list[int] = []

    def collect(name: str, output: Any) -> torch.Tensor:
        if not isinstance(output, torch.Tensor):
            raise ModelError(
                f"layer {name!r} returns {type(output).__name__}, not one tensor; choose another"
            )
        info = infos.get(name)
        layout = MAP if info is None else info.layout
        grid = (0, 0)
        if info is not None:
            grid = (round(sides[0] / info.stride[0]), round(sides[1] / info.stride[1]))
        values = layout.to_map(output, grid)
        if name in disturbed:
            values = disturbed[name](values)
        if not values.requires_grad:
            values = values.detach().requires_grad_()
        outputs[name] = values
        return layout.from_map(values.clone(), output)

    def on_output(name: str) -> Any:
        return lambda _module, _inputs, output: collect(name, output)

    def on_input(_module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        return (collect("input", inputs[0]), *inputs[1:])

    def measure(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        sides[:] = inputs[0].shape[2:]

    try:
        handles.append(module.register_forward_pre_hook(measure))
        for name in layers:
            if name == "input":
                handles.append(module.register_forward_pre_hook(on_input))
            else:
                handles.append(module.get_submodule(name).register_forward_hook(on_output(name)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
