"""Where a feature map's pixels lie: stride and centre, propagated through each operation.

A `Geometry` says for a tensor's spatial axes how many input pixels one of its pixels
steps, and which input pixel (centre coordinates) its pixel 0 is centred on. Convolutions,
poolings and resamplings change it by plain arithmetic; where branches meet, the path that
kept the highest resolution gives the centre and the others give the spread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

Pair = tuple[float, float]


@dataclass(frozen=True)
class Geometry:
    """Placement of a feature map on the network's input, per axis (y, x), in input px.

    Attributes
    ----------
    stride
        Input px per pixel.
    centre
        Input px (centres at integers) on which pixel 0 is centred.
    spread
        Largest distance between the centres of the paths that lead here.
    coarsest
        Largest stride met on the path that gives the centre.
    """

    stride: Pair = (1.0, 1.0)
    centre: Pair = (0.0, 0.0)
    spread: Pair = (0.0, 0.0)
    coarsest: float = 1.0

    def windowed(
        self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
    ) -> Geometry:
        """After a convolution or pooling: the window of output pixel 0 starts at -padding."""
        offset = _pairs(lambda k, p, d: (k - 1) * d / 2 - p, kernel, padding, dilation)
        return self._moved(offset, stride)

    def transposed(
        self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
    ) -> Geometry:
        """After a transposed convolution, the inverse of `windowed`."""
        step: Pair = (1 / stride[0], 1 / stride[1])
        offset = _pairs(
            lambda k, p, d, t: (p - (k - 1) * d / 2) * t, kernel, padding, dilation, step
        )
        return self._moved(offset, step)

    def resized(self, size_in: Pair, size_out: Pair, align_corners: bool) -> Geometry:
        """After an interpolation (nearest or linear) from one size to another."""
        if align_corners:
            step = _pairs(lambda i, o: (i - 1) / (o - 1) if o > 1 else i, size_in, size_out)
            return self._moved((0.0, 0.0), step)
        step = _pairs(lambda i, o: i / o, size_in, size_out)
        return self._moved(_pairs(lambda t: (t - 1) / 2, step), step)

    def _moved(self, offset: Pair, step: Pair) -> Geometry:
        stride = _pairs(lambda s, t: s * t, self.stride, step)
        return replace(
            self,
            stride=stride,
            centre=_pairs(lambda c, s, o: c + s * o, self.centre, self.stride, offset),
            coarsest=max(self.coarsest, *stride),
        )


def merged(branches: list[Geometry]) -> Geometry | None:
    """Geometry where branches of equal size meet (sum, product, concatenation).

    None where their strides disagree: the result then has no single placement.
    """
    best = min(branches, key=lambda g: g.coarsest)
    if any(abs(g.stride[a] - best.stride[a]) > 1e-9 for g in branches for a in (0, 1)):
        return None
    reach = [max(abs(g.centre[a] - best.centre[a]) + g.spread[a] for g in branches) for a in (0, 1)]
    return replace(best, spread=(reach[0], reach[1]))


def _pairs(formula: Callable[..., float], *values: Pair) -> Pair:
    return formula(*(v[0] for v in values)), formula(*(v[1] for v in values))
