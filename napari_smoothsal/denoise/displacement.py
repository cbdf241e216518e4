"""Which convolutions a denoising changes for a layer, and by how much that moves its map."""

from __future__ import annotations

from napari_smoothsal.core.displacement import Displacement
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import Denoising, MovingOptions, ScopedOptions
from napari_smoothsal.models import LayerInfo, Model
from napari_smoothsal.models.reach import Reach, Span

Pair = tuple[float, float]


def convolutions_of(
    model: Model, layer: LayerInfo, denoising: Denoising, options: Settings
) -> tuple[str, ...]:
    """Names of the strided convolutions that a denoising changes for a layer."""
    if denoising.attach is None and not denoising.replaces:
        return ()
    if _whole_network(options):
        return model.strided_convolutions[1:]
    return layer.strided_convs_above


def displacement_of(
    model: Model,
    layer: LayerInfo,
    denoising: Denoising,
    options: Settings,
    *,
    below: str | None = None,
    moves: bool = True,
) -> Displacement:
    """Displacement of a layer's map under a denoising.

    Parameters
    ----------
    below
        The layer whose unit is explained; None: the output is.
    moves
        Whether a displaced gradient displaces the map. A product of gradient and activation is
        one of two things at different places, and moving it would not make it right.

    Notes
    -----
    The gradient of a changed network is a gradient: it lies where that network takes what it
    takes. But where the network's output has places (a decision per pixel), these are of a moved
    content.
    """
    above = model.reach(layer.name, below) or Reach()
    beneath, asked = Span(), Span()
    if _whole_network(options) and model.strided_convolutions:
        first = model.strided_convolutions[0]  # which itself is not changed
        if first in layer.strided_convs_above:
            asked = (model.reach(first, below) or Reach()).whole
        else:
            asked = above.whole
            beneath = (model.reach(first, layer.name) or Reach()).whole
    elif denoising.changes_network:
        asked = above.whole
    if not model.readout.dense or below is not None:
        asked = Span()
    up, down = denoising.moves_activation_px, denoising.moves_gradient_px
    near, near_spread = _summed((above.near, down), (beneath, up))
    far, far_spread = _summed((above.whole, down), (beneath, up), (asked, -up))
    wanted = isinstance(options, MovingOptions) and options.compensate
    agreed = moves and wanted and near_spread == 0
    placed = near if agreed else (0.0, 0.0)
    return Displacement(near, far, near_spread, far_spread, placed)


def _summed(*parts: tuple[Span, float]) -> tuple[Pair, float]:
    """Middle (y, x) of what spans times pixels add up to, and the distance to their ends."""
    middles, spreads = [], []
    for axis in (0, 1):
        ends = [sorted((span.least[axis] * px, span.most[axis] * px)) for span, px in parts]
        low, high = sum(e[0] for e in ends), sum(e[1] for e in ends)
        middles.append((low + high) / 2)
        spreads.append((high - low) / 2)
    return (middles[0], middles[1]), max(spreads)


def _whole_network(options: Settings) -> bool:
    return isinstance(options, ScopedOptions) and options.scope == "paper"
