"""Where a feature map's pixels lie and what they see, propagated through each operation.

A `Geometry` says for a tensor's spatial axes how many input pixels one of its pixels
steps, which input pixel (centre coordinates) its pixel 0 is centred on, and between which input
pixels lies what it depends on. Convolutions, poolings and resamplings change it by plain
arithmetic; where branches meet, the path that kept the highest resolution gives the centre, the
others give the spread, and all of them together the receptive field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf

Pair = tuple[float, float]

Reads = Callable[[int, int, int], tuple[float, float]]
"""First and last pixel, of so many, that a pixel of so many others is made of: (j, in, out)."""


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
        Largest distance between the centres of the paths that lead here and the one above.
    coarsest
        Largest stride met on the path that gives the centre.
    low, high
        First and last input px that pixel 0 depends on, were the input without borders; pixel g
        depends on those ``g * stride`` further. Infinite where it depends on the whole input.
        After an upsampling they hold what any phase sees.
    deepest
        Largest stride met on any path: above the stride, neighbouring pixels are alike in what
        coarser ones they were made of.
    relative
        Whether the stride is a share of the input's size: a pooling to so many pixels.
    """

    stride: Pair = (1.0, 1.0)
    centre: Pair = (0.0, 0.0)
    spread: Pair = (0.0, 0.0)
    coarsest: float = 1.0
    low: Pair = (0.0, 0.0)
    high: Pair = (0.0, 0.0)
    deepest: float = 1.0
    relative: bool = False

    @property
    def receptive_field(self) -> Pair:
        """Input px that a pixel depends on; `math.inf` where it is all of them."""
        return _pairs(lambda low, high: high - low + 1, self.low, self.high)

    def windowed(
        self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
    ) -> Geometry:
        """After a convolution or pooling: the window of output pixel 0 starts at -padding."""
        first = _pairs(lambda p: -p, padding)
        last = _pairs(lambda k, p, d: (k - 1) * d - p, kernel, padding, dilation)
        return self._moved(_pairs(lambda a, b: (a + b) / 2, first, last), stride, first, last)

    def transposed(
        self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
    ) -> Geometry:
        """After a transposed convolution, the inverse of `windowed`."""
        step: Pair = (1 / stride[0], 1 / stride[1])
        last = _pairs(lambda p, t: p * t, padding, step)
        first = _pairs(lambda k, p, d, t: (p - (k - 1) * d) * t, kernel, padding, dilation, step)
        return self._moved(_pairs(lambda a, b: (a + b) / 2, first, last), step, first, last)

    def resized(self, size_in: Pair, size_out: Pair, reads: Reads, align_corners: bool) -> Geometry:
        """After an interpolation from one size to another.

        Parameters
        ----------
        size_in, size_out
            Of the map.
        reads
            Which pixels are weighed: `nearest_reads` and the like.
        align_corners
            Whether the middles of the outermost pixels stay where they are, not their borders.
        """
        if align_corners:
            # One pixel has no middles to keep apart: it is repeated.
            step = _pairs(
                lambda i, o: (i - 1) / (o - 1) if min(i, o) > 1 else i / o, size_in, size_out
            )
            offset = _pairs(lambda i, t: 0.0 if i > 1 else (t - 1) / 2, size_in, step)
        else:
            step = _pairs(lambda i, o: i / o, size_in, size_out)
            offset = _pairs(lambda t: (t - 1) / 2, step)
        ends = [_ends(reads, i, o, t) for i, o, t in zip(size_in, size_out, step, strict=True)]
        return self._moved(offset, step, (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1]))

    def pooled_to(self, size_in: Pair, size_out: Pair) -> Geometry:
        """After a pooling to a given size; of the whole map, if to one pixel.

        Windows of unequal size are not evenly spaced: by how much is part of the spread.
        """
        step = _pairs(lambda i, o: i / o, size_in, size_out)
        offset = _pairs(lambda t: (t - 1) / 2, step)
        spread, first, last = [], [], []
        for axis, (i, o) in enumerate(zip(size_in, size_out, strict=True)):
            windows = [pooling_reads(j, int(i), int(o)) for j in range(int(o))]
            off = [(a + b) / 2 - offset[axis] - j * step[axis] for j, (a, b) in enumerate(windows)]
            spread.append(max(map(abs, off)) * self.stride[axis])
            low, high = _ends(pooling_reads, i, o, step[axis])
            first.append(low if o > 1 else -inf)
            last.append(high if o > 1 else inf)
        moved = self._moved(offset, step, (first[0], first[1]), (last[0], last[1]))
        wider = _pairs(lambda a, b: a + b, moved.spread, (spread[0], spread[1]))
        return replace(moved, spread=wider, deepest=self.deepest, relative=True)

    def sliced(self, start: Pair, step: Pair) -> Geometry:
        """Every so many pixels, from one on."""
        return self._moved(start, step, start, start)

    def widened(self, extent: Pair) -> Geometry:
        """Where each pixel also depends on those up to so many of its own px away."""
        reach = _pairs(lambda s, e: s * e if e else 0.0, self.stride, extent)
        return replace(
            self,
            low=_pairs(lambda low, r: low - r, self.low, reach),
            high=_pairs(lambda high, r: high + r, self.high, reach),
        )

    def everywhere(self) -> Geometry:
        """Where each pixel depends on the whole input."""
        return replace(self, low=(-inf, -inf), high=(inf, inf))

    def _moved(self, offset: Pair, step: Pair, first: Pair, last: Pair) -> Geometry:
        stride = _pairs(lambda s, t: s * t, self.stride, step)
        return replace(
            self,
            stride=stride,
            centre=_pairs(lambda c, s, o: c + s * o, self.centre, self.stride, offset),
            coarsest=max(self.coarsest, *stride),
            deepest=max(self.deepest, *stride),
            low=_pairs(lambda low, s, f: low + s * f, self.low, self.stride, first),
            high=_pairs(lambda high, s, e: high + s * e, self.high, self.stride, last),
        )


def merged(branches: Sequence[Geometry], size: tuple[int, int]) -> Geometry:
    """Geometry where branches of equal size meet (sum, product, concatenation).

    Parameters
    ----------
    branches
        One for each.
    size
        Pixels of each, (y, x): branches whose strides differ lie furthest apart at a border.
    """
    finest = min(g.coarsest for g in branches)
    best = [g for g in branches if g.coarsest == finest]
    if all(g == best[0] for g in branches):
        return best[0]
    stride = best[0].stride
    # Of several of the finest none is preferred: the phases of a patch that is merged, or the two
    # ways down of a block.
    ends = [[g.centre[a] for g in best] for a in (0, 1)]
    centre = ((min(ends[0]) + max(ends[0])) / 2, (min(ends[1]) + max(ends[1])) / 2)
    spread, low, high = [], [], []
    for a in (0, 1):
        apart = [
            max(
                abs(at - centre[a]), abs(at - centre[a] + (size[a] - 1) * (g.stride[a] - stride[a]))
            )
            + g.spread[a]
            for g in branches
            for at in (g.centre[a],)
        ]
        spread.append(_rounded(max(apart)))
        far = [(size[a] - 1) * (g.stride[a] - stride[a]) for g in branches]
        low.append(
            min(g.low[a] + min(0.0, _rounded(d)) for g, d in zip(branches, far, strict=True))
        )
        high.append(
            max(g.high[a] + max(0.0, _rounded(d)) for g, d in zip(branches, far, strict=True))
        )
    return replace(
        best[0],
        centre=centre,
        spread=(spread[0], spread[1]),
        low=(low[0], low[1]),
        high=(high[0], high[1]),
        deepest=max(g.deepest for g in branches),
        relative=all(g.relative for g in best),
    )


def nearest_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of interpolation by repetition."""
    at = floor(j * size_in / size_out)
    return (at, at)


def nearest_exact_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of interpolation by the pixel whose middle is nearest."""
    at = floor((j + 0.5) * size_in / size_out)
    return (at, at)


def linear_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of linear interpolation."""
    at = _rounded((j + 0.5) * size_in / size_out - 0.5)
    return (floor(at), ceil(at))


def aligned_linear_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of linear interpolation between the middles of the outermost pixels."""
    at = _rounded(j * (size_in - 1) / (size_out - 1)) if size_out > 1 else 0.0
    return (floor(at), ceil(at))


def cubic_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of cubic interpolation."""
    low, high = linear_reads(j, size_in, size_out)
    return (low - 1, high + 1)


def aligned_cubic_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of cubic interpolation between the middles of the outermost pixels."""
    low, high = aligned_linear_reads(j, size_in, size_out)
    return (low - 1, high + 1)


def pooling_reads(j: int, size_in: int, size_out: int) -> tuple[float, float]:
    """Of a pooling to a given size."""
    return (floor(j * size_in / size_out), ceil((j + 1) * size_in / size_out) - 1)


def _ends(reads: Reads, size_in: float, size_out: float, step: float) -> tuple[float, float]:
    """What the pixels see at most, to either side of where pixel 0 would be for them."""
    found = [reads(j, int(size_in), int(size_out)) for j in range(int(size_out))]
    lows = [low - j * step for j, (low, _) in enumerate(found)]
    highs = [high - j * step for j, (_, high) in enumerate(found)]
    return _rounded(min(lows)), _rounded(max(highs))


def _rounded(value: float) -> float:
    """Without what quotients of sizes leave behind the ninth digit."""
    return round(value, 9)


def _pairs(formula: Callable[..., float], *values: Pair) -> Pair:
    return formula(*(v[0] for v in values)), formula(*(v[1] for v in values))
