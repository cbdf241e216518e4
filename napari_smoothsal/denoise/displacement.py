"""Which convolutions a denoising changes for a layer, and by how much that moves its map."""

from __future__ import annotations

from dataclasses import dataclass

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.denoise.base import Denoising, MovingOptions, ScopedOptions
from napari_smoothsal.models import LayerInfo, Model
from napari_smoothsal.models.tracing import Reach

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
    """How far a map lies beside what it shows.

    Attributes
    ----------
    px
        (y, x) in tile px; the middle of the paths where they differ.
    spread_px
        Largest distance of a path's own displacement from that, in tile px. Skips of a U-Net go
        around strided convolutions, and no single placement is right for all paths.
    compensated
        Whether the placement of the map takes it back.
    """

    px: Pair = (0.0, 0.0)
    spread_px: float = 0.0
    compensated: bool = False

    @property
    def left_px(self) -> float:
        """How far the map may lie beside what it shows as it is placed, in tile px."""
        return self.spread_px + (0.0 if self.compensated else max(map(abs, self.px)))


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
    """
    start, beneath = layer.name, Reach()
    if _whole_network(options) and model.strided_convolutions:
        first = model.strided_convolutions[0]
        if first in layer.strided_convs_above:
            start = first  # which itself is not changed
        else:
            beneath = model.reach(first, layer.name) or Reach()
    parts = [
        (model.reach(start, below) or Reach(), denoising.moves_gradient_px),
        (beneath, denoising.moves_activation_px),
    ]
    centres, spreads = [], []
    for axis in (0, 1):
        ends = [sorted((r.least[axis] * px, r.most[axis] * px)) for r, px in parts]
        low, high = sum(e[0] for e in ends), sum(e[1] for e in ends)
        centres.append((low + high) / 2)
        spreads.append((high - low) / 2)
    agreed = moves and max(spreads) == 0 and any(centres)
    compensated = agreed and isinstance(options, MovingOptions) and options.compensate
    return Displacement((centres[0], centres[1]), max(spreads), compensated)


def _whole_network(options: Settings) -> bool:
    return isinstance(options, ScopedOptions) and options.scope == "paper"
