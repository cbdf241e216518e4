"""LayerInfo: the layers of a network at which a saliency map can be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from napari_smoothsal.models.tracing import Trace


@dataclass(frozen=True)
class LayerInfo:
    """One module that makes a feature map.

    Attributes
    ----------
    name
        Dotted name of the module, or ``input`` for the image itself.
    channels
        Channels of its output.
    stride
        Tile px per layer px, (y, x).
    centre
        Tile px (centres at integers) on which layer pixel 0 is centred, (y, x).
    centre_spread
        Largest distance, in tile px, between the centres of the paths that lead to the layer:
        above 0 only where branches of a decoder disagree.
    strided_convs_above
        Strided convolutions between the layer and the output, in order of execution. They put
        the checkerboard into the gradient; with none of them there is nothing to denoise.
    """

    name: str
    channels: int
    stride: tuple[float, float]
    centre: tuple[float, float]
    centre_spread: float
    strided_convs_above: tuple[str, ...]


LARGEST_SPREAD_PX = 0.5
"""Of a layer that is offered first: above it, where its map belongs is anybody's guess."""

COARSEST_STRIDE = 64


def main_layers(layers: Sequence[LayerInfo]) -> list[str]:
    """The last of the least nested modules of each stride: a stage's output in usual networks."""
    main: dict[float, str] = {}
    depth: dict[float, int] = {}
    for info in layers:
        stride, level = max(info.stride), info.name.count(".")
        if info.name == "input" or info.centre_spread > LARGEST_SPREAD_PX:
            continue
        if stride <= COARSEST_STRIDE and level <= depth.get(stride, level):
            depth[stride], main[stride] = level, info.name
    return list(main.values())


START_STRIDE, START_UM = 8, 4.0
"""A few pixels across a tumour nucleus, and enough strided convolutions above for the denoising to
matter: a stride of 8, at the 0.5 um per pixel that are usual."""


def start_layer(layers: Sequence[LayerInfo], input_mpp: float | None) -> str:
    """The one to begin with where nobody chose: of the main ones that of about 4 um per pixel.

    Parameters
    ----------
    layers
        Of the model.
    input_mpp
        Micrometres per pixel of its image; where nobody knows, the stride is about 8.
    """
    names = set(main_layers(layers))
    main = [info for info in layers if info.name in names] or list(layers)
    wanted = START_STRIDE if input_mpp is None else START_UM / input_mpp
    return min(main, key=lambda info: abs(log2(max(info.stride) / wanted))).name


def layers_of(trace: Trace) -> list[LayerInfo]:
    """Layers of a traced pass, ``input`` first, then in order of execution.

    Modules that ran several times in the pass (shared ReLUs) are left out: their name does not
    say which output is meant; so are those that the output does not depend on.
    """
    return [
        LayerInfo(
            name=layer.name,
            channels=layer.shape[1],
            stride=layer.geometry.stride,
            centre=layer.geometry.centre,
            centre_spread=max(layer.geometry.spread),
            strided_convs_above=tuple(
                conv for conv, ancestry in trace.strided.items() if layer.name in ancestry
            ),
        )
        for layer in trace.layers
        if trace.calls[layer.name] <= 1 and layer.name in trace.reaches_output
    ]
