"""Tiles that are a part of others, drawn by chance or not, or that are held in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from napari_smoothsal.evaluation.paper import Tiles
from napari_smoothsal.models import Model


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


def behind_stain(model: Model, tiles: Tiles) -> tuple[Model, Tiles]:
    """A model and tiles behind the stain normalisation of its card, for whoever changes pixels.

    Covered by half, a tile has another stain, and normalised anew it would have other colours
    where nothing was covered. Both are what was given where the card has no such normalisation.
    """
    if model.behind_stain is model:
        return model, tiles
    return model.behind_stain, _Normalised(model, tiles)


class _Normalised:
    """Tiles, brought to a model's stain."""

    def __init__(self, model: Model, tiles: Tiles) -> None:
        self._model, self._tiles = model, tiles

    def __len__(self) -> int:
        return len(self._tiles)

    def name(self, index: int) -> str:
        """As the tiles call it."""
        return self._tiles.name(index)

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) uint8."""
        return self._model.stain_normalised(self._tiles.images(indices)).images
