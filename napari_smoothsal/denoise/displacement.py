"""Which convolutions a denoising changes for a layer, and by how much that moves its map."""

from __future__ import annotations

from dataclasses import dataclass

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import Denoising, MovingOptions, ScopedOptions
from napari_smoothsal.models import LayerInfo, Model
from napari_smoothsal.models.tracing import Reach, Span

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


@dataclass(frozen=True)
class Displacement:
    """How far what a map shows lies beside where it belongs, in tile px.

    A filter that moves a gradient by half a pixel moves all that comes down to it, but the
    non-linearities below it stay where they are. What the non-linearities closest to the layer
    make of the gradient, its fine structure, is moved only by the filters between them and the
    layer; what comes from far above, its coarse structure, by all of them.

    Attributes
    ----------
    near_px, far_px
        (y, x) of the finest and the coarsest structure; the middle of the paths where they differ.
    near_spread_px, far_spread_px
        Largest distance of a path's own displacement from that. Skips of a U-Net go around strided
        convolutions, and no single placement is right for all paths.
    placed_px
        (y, x) that the placement of the map takes back.
    """

    near_px: Pair = (0.0, 0.0)
    far_px: Pair = (0.0, 0.0)
    near_spread_px: float = 0.0
    far_spread_px: float = 0.0
    placed_px: Pair = (0.0, 0.0)

    @property
    def compensated(self) -> bool:
        """Whether the placement takes anything back."""
        return any(self.placed_px)

    @property
    def left_px(self) -> float:
        """How far any structure may lie beside where it belongs, as the map is placed."""
        ends = ((self.near_px, self.near_spread_px), (self.far_px, self.far_spread_px))
        return max(
            abs(px - placed) + spread
            for end, spread in ends
            for px, placed in zip(end, self.placed_px, strict=True)
        )


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
