"""LayerInfo: the layers of a network at which a saliency map can be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from napari_smoothsal.models.layout import MAP, Layout
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
    receptive_field
        Tile px that a layer pixel depends on, (y, x), or a bound of them; `math.inf` where that is
        the whole tile: after global pooling, attention or a norm over places that feed back into
        the map.
    first_seen
        The first of them, of layer pixel 0, were the tile without borders.
    deepest_stride
        The largest stride on any path to the layer: above its own, it was upsampled.
    layout
        In which order of dimensions the module returns its map: tokens of transformers are brought
        into (B, C, h, w).
    suggestible
        Whether it may be offered first: not a module that hands on what it is given, nor a pooling
        to a share of the tile.
    """

    name: str
    channels: int
    stride: tuple[float, float]
    centre: tuple[float, float]
    centre_spread: float
    strided_convs_above: tuple[str, ...]
    receptive_field: tuple[float, float] = (1.0, 1.0)
    first_seen: tuple[float, float] = (0.0, 0.0)
    deepest_stride: float = 1.0
    layout: Layout = MAP
    suggestible: bool = True


LARGEST_SPREAD_PX = 0.5
"""Of a layer that is offered first, or less than half its stride: above it, where its map belongs
is anybody's guess."""

COARSEST_STRIDE = 64


def main_layers(layers: Sequence[LayerInfo]) -> list[str]:
    """The last of the least nested modules of each resolution: a stage's output in usual networks.

    Those that end before a fifth of a resolution's layers have run are no stage: the embedding of
    patches. So is not what sees one pixel only, or lies at no place in particular.
    """
    stages: dict[int, list[LayerInfo]] = {}
    for info in layers:
        if info.name != "input" and _lies_somewhere(info):
            stages.setdefault(round(log2(max(info.stride))), []).append(info)
    main = set()
    for stage in stages.values():
        late = stage[(len(stage) - 1) // 5 :]
        level = min(info.name.count(".") for info in late)
        main.add([info for info in late if info.name.count(".") == level][-1].name)
    return [info.name for info in layers if info.name in main]


def _lies_somewhere(info: LayerInfo) -> bool:
    spread, stride = info.centre_spread, max(info.stride)
    # Strides that are no whole number come of resampling to a size that something else has.
    even = all(s.is_integer() or (1 / s).is_integer() for s in info.stride)
    certain = even and (spread <= LARGEST_SPREAD_PX or spread < stride / 2)
    seen = info.suggestible and max(info.receptive_field) > 1
    return certain and seen and stride <= COARSEST_STRIDE


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
            receptive_field=layer.geometry.receptive_field,
            first_seen=layer.geometry.low,
            deepest_stride=layer.geometry.deepest,
            layout=layer.layout,
            suggestible=not (layer.passes_on or layer.geometry.relative),
        )
        for layer in trace.layers
        if trace.calls[layer.name] <= 1 and layer.name in trace.reaches_output
    ]
