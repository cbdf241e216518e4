"""A tile seen through masks, and what draws them."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.base import MethodOptions
from napari_smoothsal.attribution.fills import Fill, fill_field, filled
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.attribution.perturbation import PerturbedTile


class MaskedOptions(MethodOptions):
    """What methods that mask a tile can be told."""

    fill: Fill = fill_field()


def generator_of(seed: int, number: int) -> torch.Generator:
    """What draws mask ``number``: on the CPU, so that every device and batch sees the same."""
    return torch.Generator().manual_seed(place_seed(seed, number, ()))


class Masked:
    """A tile, and what is seen in its place where it is hidden.

    Parameters
    ----------
    tile
        The tile.
    fill
        What hidden pixels show, whichever they are; see `filled`.
    """

    def __init__(self, tile: PerturbedTile, fill: str) -> None:
        self.channels = len(tile.image)
        hidden = filled(tile, fill)
        # In the images' own memory layout, channels last, where mixing is several times faster.
        self._hidden = hidden.permute(1, 2, 0).flatten(1)
        self._difference = tile.image.permute(1, 2, 0).flatten(1) - self._hidden

    def through(self, masks: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) images, through masks (n, H, W C) that repeat each px for its channels.

        The tile is seen where they are 1. They are overwritten.
        """
        torch.addcmul(self._hidden, masks, self._difference, out=masks)
        return masks.reshape(*masks.shape[:2], -1, self.channels).permute(0, 3, 1, 2)
