"""Which of a network's layers are offered first, and which one to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_smoothsal.models.layers import main_layers, start_layer
from napari_smoothsal.viewer.offered import LayerChoice

if TYPE_CHECKING:
    from napari_smoothsal.models import LayerInfo


def layer_choices(
    layers: Sequence[LayerInfo], input_mpp: float | None
) -> tuple[list[LayerChoice], str]:
    """Layers in the order in which they are offered, and the one to begin with.

    First come the *main* ones: of each stride the last of the least nested modules, which is a
    stage's output in the usual networks; then all others in order of execution.
    """
    names = set(main_layers(layers))
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
    return offered, start_layer(layers, input_mpp)
