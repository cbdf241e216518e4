"""What shows where a mask hides a tile, and what shows where it hides it by half."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch.nn import functional as F

from napari_smoothsal.attribution.baselines import BLUR_SIGMA_PX, blurred
from napari_smoothsal.attribution.fills import INPAINTED, filled, inpainted
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.attribution.segments import nuclei
from napari_smoothsal.core.errors import SettingError

NUCLEI_INPAINTED = "what surrounds them continues into the nuclei that are found"
_REACH = 3
"""Sides of the square by which nuclei are widened before they are painted over: their rims."""


class Background(ABC):
    """A tile that can be hidden pixel by pixel."""

    @abstractmethod
    def mixed(self, shown: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) images as the network sees them, of shares (n, H, W) of the tile."""

    @abstractmethod
    def slope(self, shown: torch.Tensor, /) -> torch.Tensor:
        """(n or 1, C, H, W): how they change with the shares."""


class Plain(Background):
    """One image: background + share (tile - background).

    Parameters
    ----------
    tile, background
        (C, H, W) as the network sees them.
    """

    def __init__(self, tile: torch.Tensor, background: torch.Tensor) -> None:
        self._background = background
        self._rise = tile - background

    def mixed(self, shown: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self._background, shown[:, None], self._rise)

    def slope(self, _shown: torch.Tensor, /) -> torch.Tensor:
        return self._rise[None]


class Blurs(Background):
    """The tile, blurred the more the less of it shows: linear between blurs evenly apart.

    Parameters
    ----------
    tile
        The tile.
    levels
        How many there are, the tile itself being one, `BLUR_SIGMA_PX` the other end.
    """

    def __init__(self, tile: PerturbedTile, levels: int) -> None:
        sigmas = BLUR_SIGMA_PX * (1 - torch.arange(levels) / (levels - 1))
        blurs = [
            tile.normalised(blurred(tile.colours[None], sigma))[0] for sigma in sigmas.tolist()[:-1]
        ]
        self._levels = torch.stack([*blurs, tile.image])

    def mixed(self, shown: torch.Tensor) -> torch.Tensor:
        low, rise, share = self._about(shown)
        return low + share[:, None] * rise

    def slope(self, shown: torch.Tensor, /) -> torch.Tensor:
        return self._about(shown)[1] * (len(self._levels) - 1)

    def _about(self, shown: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The level below each pixel, from there to the next one, and how far it is on the way."""
        at = shown * (len(self._levels) - 1)
        below = at.floor().clamp(0, len(self._levels) - 2)
        y, x = (torch.arange(side, device=shown.device) for side in shown.shape[1:])
        levels = self._levels.movedim(1, -1)
        low, high = (levels[below.long() + up, y[:, None], x].movedim(-1, 1) for up in (0, 1))
        return low, high - low, at - below


def background_of(tile: PerturbedTile, fill: str) -> Background:
    """What a fill means to a mask that hides a tile gradually.

    Of `INPAINTED`, where nuclei give way, there must be a resolution to know them by.

    Raises
    ------
    SettingError
        If the model's card has none.
    """
    if fill != INPAINTED:
        return Plain(tile.image, filled(tile, fill))
    if tile.mpp is None:
        raise SettingError(
            f"fill = {fill!r}: the model's card does not say how many micrometres a pixel is, so "
            "nothing can be told from a nucleus by its size; set input_mpp, or choose another fill"
        )
    found = (nuclei(tile.colours, tile.mpp) > 0).to(tile.image)[None, None]
    widened = F.max_pool2d(found, _REACH, 1, _REACH // 2)[0] > 0
    return Plain(tile.image, inpainted(tile.image, widened)[0])
