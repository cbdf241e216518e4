"""Which of a network's layers are offered first, and which one to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_smoothsal.viewer.messages import LayerChoice

if TYPE_CHECKING:
    from napari_smoothsal.models import LayerInfo

LARGEST_SPREAD_PX = 0.5
COARSEST_STRIDE = 64
START_STRIDE = 8
"""At 0.5 um per pixel a stride of 8 is 4 um: a few pixels across a tumour nucleus, and enough
strided convolutions above for the denoising to matter."""


def layer_choices(
    layers: Sequence[LayerInfo], input_mpp: float | None
) -> tuple[list[LayerChoice], str]:
    """Layers in the order in which they are offered, and the one to begin with.

    First come the *main* ones: of each stride the last of the least nested modules, which is a
    stage's output in the usual networks; then all others in order of execution.
    """
    main: dict[float, str] = {}
    depth: dict[float, int] = {}
    for info in layers:
        stride, level = max(info.stride), info.name.count(".")
        if info.name == "input" or info.centre_spread > LARGEST_SPREAD_PX:
            continue
        if stride <= COARSEST_STRIDE and level <= depth.get(stride, level):
            depth[stride], main[stride] = level, info.name
    names = set(main.values())
    ordered = sorted(layers, key=lambda info: info.name not in names)
    offered = [
        LayerChoice(
            name=info.name,
            stride=max(info.stride),
            um_per_px=None if input_mpp is None else max(info.stride) * input_mpp,
            spread_px=info.centre_spread,
            to_denoise=len(info.strided_convs_above),
            main=info.name in names,
        )
        for info in ordered
    ]
    start = min(main, key=lambda stride: abs(stride - START_STRIDE), default=None)
    return offered, main[start] if start is not None else layers[0].name
