"""Pieces: the parts of a tile that are covered one after the other."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch

_Pixels = tuple[torch.Tensor, torch.Tensor]


class Pieces(ABC):
    """Parts of a tile, numbered from 0; together they may leave pixels out, or overlap.

    Attributes
    ----------
    count
        How many there are.
    sides
        Of the tile: height, width.
    """

    count: int

    def __init__(self, height: int, width: int) -> None:
        self.sides = height, width

    @abstractmethod
    def pixels(self, numbers: torch.Tensor) -> torch.Tensor:
        """Where some lie, on the device of their numbers (n,): indices into (n, H, W), flat.

        A number below 0 is of a piece without pixels.
        """


class _Boxes(Pieces):
    """Pieces of one shape on a grid of ``across`` columns, each in a square box of pixels."""

    across: int
    box: int

    @abstractmethod
    def within(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[_Pixels, torch.Tensor]:
        """Of pieces at rows and columns (n,) of the grid.

        Their pixels' y and x, (n, box) each, and which of (n, box, box) belong to the piece,
        whether or not they are on the tile.
        """

    def pixels(self, numbers: torch.Tensor) -> torch.Tensor:
        height, width = self.sides
        (y, x), inside = self.within(numbers // self.across, numbers % self.across)
        on_tile = [(at >= 0) & (at < side) for at, side in ((y, height), (x, width))]
        inside = inside & on_tile[0][:, :, None] & on_tile[1][:, None]
        inside &= (numbers >= 0)[:, None, None]
        image = torch.arange(len(numbers), device=numbers.device)[:, None, None]
        return ((image * height + y[:, :, None]) * width + x[:, None])[inside]


class Squares(_Boxes):
    """Squares on a grid; the last of each row and column are cut off where the tile ends.

    Parameters
    ----------
    height, width
        Of the tile.
    size, stride
        Sides of the squares, and between their beginnings.
    """

    def __init__(self, height: int, width: int, size: int, stride: int) -> None:
        super().__init__(height, width)
        self.box, self._stride = size, stride
        down, self.across = (steps(side, size, stride) for side in self.sides)
        self.count = down * self.across

    def within(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[_Pixels, torch.Tensor]:
        box = torch.arange(self.box, device=rows.device)
        y, x = (at[:, None] * self._stride + box for at in (rows, columns))
        return (y, x), torch.ones((), dtype=torch.bool, device=rows.device)


class Circles(_Boxes):
    """Discs whose centres lie evenly, no further apart than a stride.

    Parameters
    ----------
    height, width
        Of the tile.
    diameter, stride
        Of the discs, and between their centres at most.
    """

    def __init__(self, height: int, width: int, diameter: float, stride: float) -> None:
        super().__init__(height, width)
        self._radius = diameter / 2
        self.box = math.ceil(diameter) + 2
        self._grid = [math.ceil(side / stride) for side in self.sides]
        self.across = self._grid[1]
        self.count = math.prod(self._grid)

    def within(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[_Pixels, torch.Tensor]:
        box = torch.arange(self.box, device=rows.device)
        pixels, squared = [], []
        for at, side, count in zip((rows, columns), self.sides, self._grid, strict=True):
            centre = (at[:, None] + 0.5) * (side / count)
            pixels.append((centre - self._radius - 1).floor().long() + box)
            squared.append((pixels[-1] + 0.5 - centre) ** 2)
        inside = squared[0][:, :, None] + squared[1][:, None] <= self._radius**2
        return (pixels[0], pixels[1]), inside


class Labelled(Pieces):
    """Whatever has a label of its own: 0 to n-1; what is below 0 is in none.

    Parameters
    ----------
    labels
        (H, W) int64.
    """

    def __init__(self, labels: torch.Tensor) -> None:
        super().__init__(*labels.shape)
        flat = labels.flatten()
        first, *sizes = torch.bincount(flat.clamp_min(-1) + 1).tolist()
        self.count = len(sizes)
        self._of = flat.argsort(stable=True)[first:].split(sizes)

    def pixels(self, numbers: torch.Tensor) -> torch.Tensor:
        area = math.prod(self.sides)
        found = [
            self._of[number] + image * area
            for image, number in enumerate(numbers.tolist())
            if number >= 0
        ]
        return torch.cat([numbers.new_empty(0), *found])


def steps(side: int, size: int, stride: int) -> int:
    """How many spans of a size reach from one end of a side to the other."""
    return 1 + math.ceil(max(side - size, 0) / stride)
