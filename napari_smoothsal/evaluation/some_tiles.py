"""Tiles that are a part of others, drawn by chance or not, or that are held in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from napari_smoothsal.evaluation.paper import Tiles


def drawn(numbers: Sequence[int], most: int, seed: int) -> list[int]:
    """So many of the numbers, or all where there are fewer, by chance and in the order of it."""
    return random.Random(seed).sample(numbers, min(most, len(numbers)))


class Some:
    """Some of the tiles, in the order given."""

    def __init__(self, tiles: Tiles, chosen: Sequence[int]) -> None:
        self._tiles, self._chosen = tiles, list(chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def name(self, index: int) -> str:
        """As the tiles call it."""
        return self._tiles.name(self._chosen[index])

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) uint8."""
        return self._tiles.images([self._chosen[i] for i in indices])


class InMemory:
    """Images (n, C, H, W) uint8 with their names."""

    def __init__(self, names: Sequence[str], images: torch.Tensor) -> None:
        self._names, self._images = names, images

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Of one tile."""
        return self._names[index]

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) uint8."""
        return self._images[list(indices)]
