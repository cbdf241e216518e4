"""Displacement: how far a denoising moves what a map shows."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[float, float]


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
        return max(self.fine_left_px, self._left(self.far_px, self.far_spread_px))

    @property
    def fine_left_px(self) -> float:
        """How far the finest structure may lie beside where it belongs, as the map is placed."""
        return self._left(self.near_px, self.near_spread_px)

    def _left(self, end: Pair, spread: float) -> float:
        pairs = zip(end, self.placed_px, strict=True)
        return max(abs(px - placed) for px, placed in pairs) + spread
