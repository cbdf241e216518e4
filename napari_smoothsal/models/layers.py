"""LayerInfo: the layers of a network at which a saliency map can be computed."""

from __future__ import annotations

from dataclasses import dataclass

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
