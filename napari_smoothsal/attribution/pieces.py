"""Pieces: the parts of a tile that are covered one after the other."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch


class Pieces(ABC):
    """Parts of a tile, numbered from 0; together they may leave pixels out, or overlap.

    Attributes
    ----------
    count
        How many there are.
    """

    count: int

    @abstractmethod
    def masks(self, numbers: torch.Tensor) -> torch.Tensor:
        """(n, H, W) bool: the pixels of some, on the device of their numbers (n,)."""


class Squares(Pieces):
    """Squares on a grid; the last of each row and column are cut off where the tile ends.

    Parameters
    ----------
    height, width
        Of the tile.
    size, stride
        Sides of the squares, and between their beginnings.
    device
        Where the masks are made.
    """

    def __init__(
        self, height: int, width: int, size: int, stride: int, device: torch.device
    ) -> None:
        self._rows, self._columns = (_spans(side, size, stride, device) for side in (height, width))
        self.count = len(self._rows) * len(self._columns)

    def masks(self, numbers: torch.Tensor) -> torch.Tensor:
        across = len(self._columns)
        return self._rows[numbers // across, :, None] & self._columns[numbers % across, None, :]


class Circles(Pieces):
    """Discs whose centres lie evenly, no further apart than a stride.

    Parameters
    ----------
    height, width
        Of the tile.
    diameter, stride
        Of the discs, and between their centres at most.
    device
        Where the masks are made.
    """

    def __init__(
        self, height: int, width: int, diameter: float, stride: float, device: torch.device
    ) -> None:
        self._rows, self._columns = (_squared(side, stride, device) for side in (height, width))
        self._radius = diameter / 2
        self.count = len(self._rows) * len(self._columns)

    def masks(self, numbers: torch.Tensor) -> torch.Tensor:
        across = len(self._columns)
        squared = self._rows[numbers // across, :, None] + self._columns[numbers % across, None, :]
        return squared <= self._radius**2


class Labelled(Pieces):
    """Whatever has a label of its own: 0 to n-1; what is below 0 is in none.

    Parameters
    ----------
    labels
        (H, W) int64.
    """

    def __init__(self, labels: torch.Tensor) -> None:
        self._labels = labels
        self.count = int(labels.max()) + 1

    def masks(self, numbers: torch.Tensor) -> torch.Tensor:
        return self._labels == numbers[:, None, None]


def steps(side: int, size: int, stride: int) -> int:
    """How many spans of a size reach from one end of a side to the other."""
    return 1 + math.ceil(max(side - size, 0) / stride)


def _spans(side: int, size: int, stride: int, device: torch.device) -> torch.Tensor:
    begin = torch.arange(steps(side, size, stride), device=device)[:, None] * stride
    at = torch.arange(side, device=device)
    return (at >= begin) & (at < begin + size)


def _squared(side: int, stride: float, device: torch.device) -> torch.Tensor:
    """(n, side) squared distances of pixels from evenly spaced centres."""
    count = math.ceil(side / stride)
    centres = (torch.arange(count, device=device) + 0.5) * (side / count)
    return (torch.arange(side, device=device) + 0.5 - centres[:, None]) ** 2
