"""Which dimensions of a tensor are a map's rows and columns, whatever it is rearranged into.

A dimension is made of *digits*, as a number is: (1, C, h, w) has one for its rows and one for its
columns; tokens (1, h w, C) have both in one dimension; windows (h w / 49, 49, C) split each in two.
Reshaping cuts and joins digits, permuting moves them, and a tensor has places for as long as all
of them are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, prod

from napari_smoothsal.models.geometry import Geometry, Pair, merged

ROWS, COLUMNS = 0, 1


@dataclass(frozen=True)
class Digit:
    """A part of a dimension.

    Attributes
    ----------
    axis
        ``ROWS`` or ``COLUMNS`` of the map; None: no places, such as channels.
    size
        How many positions.
    unit
        Map px from one to the next.
    prefix, inner
        Of a dimension of tokens that begins with others than patches (a class token, registers):
        how many, and the digits of the patches. It cannot be cut.
    """

    axis: int | None
    size: int
    unit: int = 1
    prefix: int = 0
    inner: tuple[Digit, ...] = ()

    @property
    def has_places(self) -> bool:
        return self.axis is not None or bool(self.inner)


Dimension = tuple[Digit, ...]
"""From the slowest to the fastest; those of one position are left out."""

Dimensions = tuple[Dimension, ...]


def plain(size: int) -> Dimension:
    """A dimension without places."""
    return () if size == 1 else (Digit(None, size),)


def rows_of(size: int) -> Dimension:
    """A dimension that is the map's rows."""
    return () if size == 1 else (Digit(ROWS, size),)


def columns_of(size: int) -> Dimension:
    """A dimension that is the map's columns."""
    return () if size == 1 else (Digit(COLUMNS, size),)


def map_dimensions(shape: Sequence[int]) -> Dimensions:
    """Of (B, C, h, w)."""
    return (*map(plain, shape[:2]), rows_of(shape[2]), columns_of(shape[3]))


def has_places(dimension: Dimension) -> bool:
    """Whether any of a dimension's digits belongs to the map."""
    return any(d.has_places for d in dimension)


def extent(dimensions: Sequence[Dimension]) -> Pair:
    """How far apart, in map px (y, x), what shares these dimensions can be."""
    found = [0.0, 0.0]
    for digit in (d for dimension in dimensions for d in dimension):
        for part in digit.inner or (digit,):
            if part.axis is not None:
                found[part.axis] += (part.size - 1) * part.unit
    return (found[0], found[1])


@dataclass(frozen=True)
class Placement:
    """Where the values of a tensor lie.

    Attributes
    ----------
    geometry
        Of the map.
    dimensions
        Where in the tensor its rows and columns are.
    grid
        Pixels of the map, (y, x).
    rolled
        By how many px the map was rolled around (y, x): it lies where `geometry` says once it is
        rolled back.
    """

    geometry: Geometry
    dimensions: Dimensions
    grid: tuple[int, int]
    rolled: tuple[int, int] = (0, 0)

    @property
    def is_map(self) -> bool:
        """Whether it is a plain (B, C, h, w)."""
        return (
            len(self.dimensions) == 4
            and self.rolled == (0, 0)
            and self.dimensions[2:] == (rows_of(self.grid[0]), columns_of(self.grid[1]))
        )

    @property
    def prefixed(self) -> bool:
        """Whether there are tokens that are no patches."""
        return any(d.prefix for dimension in self.dimensions for d in dimension)

    def rearranged(self, dimensions: Dimensions | None) -> Placement | None:
        """The same values in other dimensions; None where places were lost."""
        if dimensions is None:
            return None
        digits = [p for dim in dimensions for d in dim for p in (d.inner or (d,))]
        for axis in (ROWS, COLUMNS):
            if prod(d.size for d in digits if d.axis == axis) != self.grid[axis]:
                return None
        return replace(self, dimensions=dimensions)

    def pooled(self, dimensions: Dimensions | None) -> Placement | None:
        """Where some dimensions were summed over; None where places were lost.

        Summing over the finest digits of rows and columns makes one place of each block: patches
        that are merged.
        """
        if dimensions is None:
            return None
        left: list[list[Digit]] = [[], []]
        for digit in (p for dim in dimensions for d in dim for p in (d.inner or (d,))):
            if digit.axis is not None:
                left[digit.axis].append(digit)
        sizes = [prod(d.size for d in digits) for digits in left]
        block = [whole // size for whole, size in zip(self.grid, sizes, strict=True)]
        if block == [1, 1]:
            return self.rearranged(dimensions)
        for digits, factor in zip(left, block, strict=True):
            if self.prefixed or not digits or any(d.unit % factor for d in digits):
                return None
        found = tuple(
            tuple(d if d.axis is None else replace(d, unit=d.unit // block[d.axis]) for d in dim)
            for dim in dimensions
        )
        window = (float(block[0]), float(block[1]))
        geometry = self.geometry.windowed(window, window, (0.0, 0.0))
        return replace(self, geometry=geometry, dimensions=found, grid=(sizes[0], sizes[1]))

    def widened(self, dimensions: Sequence[Dimension]) -> Placement:
        """Where everything that differs in these dimensions alone has been mixed."""
        far = extent(dimensions)
        whole = [
            inf if far[axis] >= self.grid[axis] - 1 and far[axis] > 0 else far[axis]
            for axis in (ROWS, COLUMNS)
        ]
        return replace(self, geometry=self.geometry.widened((whole[0], whole[1])))

    def everywhere(self) -> Placement:
        """Where each place depends on the whole input."""
        return replace(self, geometry=self.geometry.everywhere())


def reshaped(dimensions: Dimensions, shape: Sequence[int]) -> Dimensions | None:
    """The digits of a tensor after it is given another shape; None where that cuts unevenly."""
    left = [digit for dimension in dimensions for digit in dimension][::-1]
    found: list[Dimension] = []
    for size in shape:
        taken: list[Digit] = []
        while size > 1:
            if not left:
                return None
            digit = left.pop()
            if digit.size > size:
                if digit.inner or digit.size % size:
                    return None
                minor = digit.size // size
                left.append(replace(digit, size=minor))
                digit = replace(digit, size=size, unit=digit.unit * minor)
            if size % digit.size:
                return None
            size //= digit.size
            taken.append(digit)
        found.append(_joined(taken))
    return None if left else tuple(found)


def _joined(digits: Sequence[Digit]) -> Dimension:
    """Without needless cuts."""
    found: list[Digit] = []
    for digit in digits:
        last = found[-1] if found else None
        if (
            last is not None
            and not (last.inner or digit.inner)
            and last.axis == digit.axis
            and (digit.axis is None or last.unit == digit.unit * digit.size)
        ):
            found[-1] = replace(digit, size=last.size * digit.size)
        else:
            found.append(digit)
    return tuple(found)


def met(placements: Sequence[Placement], shape: Sequence[int], alike: int = -1) -> Placement | None:
    """Of what is computed value by value from several tensors that have places.

    Parameters
    ----------
    placements
        Of the tensors; dimensions are counted from the last, as in broadcasting.
    shape
        Of the result.
    alike
        Number of the dimension in which they may differ: that of a concatenation; -1: none.

    Returns
    -------
    Placement or None
        Those of the largest map count; of others, which are repeated over it, every place depends
        on all. None where they contradict each other.
    """
    largest = max((p.grid for p in placements), key=lambda g: g[0] * g[1])
    same = [p for p in placements if p.grid == largest]
    aligned = []
    for placement in same:
        missing = len(shape) - len(placement.dimensions)
        dimensions = [*((),) * missing, *placement.dimensions]
        aligned.append(
            tuple(
                dim if has_places(dim) else plain(size)
                for dim, size in zip(dimensions, shape, strict=True)
            )
        )
    first = aligned[0]
    for other in aligned[1:]:
        pairs = zip(first, other, strict=True)
        if any(a != b and number != alike for number, (a, b) in enumerate(pairs)):
            # Pixels and channels that were taken for each other, beside a map that was not.
            maps = [p for p in same if p.is_map]
            found = met(maps, shape, alike) if 0 < len(maps) < len(same) else None
            return None if found is None else found.everywhere()
    if any(p.rolled != same[0].rolled for p in same):
        return None
    geometry = merged([p.geometry for p in same], largest)
    if len(same) < len(placements):
        geometry = geometry.everywhere()
    return Placement(geometry, first, largest, same[0].rolled)
