"""Fills: what shows where a piece of the tile is covered.

Every baseline of DeepLift is one, and so is what the surroundings continue to.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator
from torch.nn import functional as F

from napari_smoothsal.attribution.baselines import baseline_of
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.core.errors import SettingError

INPAINTED = "inpainted"

_SWEEPS = 4
_RIM_PX = 2
_SOFT = 0.5
_ENDS = (torch.zeros_like, torch.ones_like)


def checked_fill(name: str) -> str:
    """The name of a fill as it is, if there is one.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    """
    if name != INPAINTED:
        baseline_of(name)
    return name


FillName = Annotated[str, AfterValidator(checked_fill)]
"""The type of an option that names a fill."""

FILL_DESCRIPTION = (
    "What shows where the tile is covered: `zero` (after normalisation: the mean colour of the "
    "training images), `black`, `white` (glass), `tissue_mean` (of this tile), `blurred` (this "
    "tile), a colour as `#rrggbb`, or `inpainted` (the surroundings continue)."
)


def filled(tile: PerturbedTile, fill: str) -> torch.Tensor:
    """What a tile shows where it is covered, whatever is covered.

    Parameters
    ----------
    tile
        The tile.
    fill
        A baseline's name, or ``"#rrggbb"``.

    Returns
    -------
    torch.Tensor
        (C, H, W) as the network sees it: normalised.

    Raises
    ------
    SettingError
        If the fill depends on what is covered; see `covered`.
    """
    if fill == INPAINTED:
        raise SettingError(
            f"fill = {fill!r} depends on what is covered; choose another for a method that needs "
            "one image of it"
        )
    # The card's mean colour is what the normalisation makes zero.
    black, white = (tile.normalised(level(tile.colours)[None]) for level in _ENDS)
    mean = (black / (black - white))[..., :1, :1]
    return tile.normalised(baseline_of(fill).make(tile.colours[None], mean))[0]


def covered(tile: PerturbedTile, fill: str, amount: torch.Tensor) -> torch.Tensor:
    """Cover a tile in several ways.

    Parameters
    ----------
    tile, fill
        The tile, and what shows where it is covered.
    amount
        (n, H, W) bool, or from 0 (untouched) to 1 (covered). Where more than half is covered,
        what is inpainted does not look at the tile.

    Returns
    -------
    torch.Tensor
        (n, C, H, W) as the network sees it.
    """
    amount = amount[:, None]
    if fill == INPAINTED:
        hidden = amount if amount.dtype == torch.bool else amount > _SOFT
        shown = inpainted(tile.image, hidden[:, 0])
    else:
        shown = filled(tile, fill)[None]
    if amount.dtype == torch.bool:
        return torch.where(amount, shown, tile.image)
    return torch.lerp(tile.image, shown, amount.to(tile.image.dtype))


def inpainted(image: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Let what surrounds each hole continue into it, as smoothly as can be.

    Inside a hole every pixel is about the mean of its four neighbours (Laplace's equation, as the
    imputation of ROAD; Rong et al., ICML 2022): nothing new appears, and no edge but at the
    hole's rim. It is solved from coarse to fine, `_SWEEPS` times at each resolution.

    Parameters
    ----------
    image
        (C, H, W).
    hidden
        (n, H, W) bool. Where all of the image is, the result is zero.

    Returns
    -------
    torch.Tensor
        (n, C, H, W): the image, and the holes filled.
    """
    # Windows that hold each hole and a rim: most are small.
    y, x = _span(hidden.any(2)), _span(hidden.any(1))
    y, x = y[:, :, None], x[:, None, :]
    number = torch.arange(len(hidden), device=image.device)[:, None, None]
    windows = _continued(image[:, y, x].movedim(0, 1), ~hidden[number, y, x][:, None])
    result = image.repeat(len(hidden), 1, 1, 1)
    result[number, :, y, x] = windows.movedim(1, -1)
    return result


def _span(hidden: torch.Tensor) -> torch.Tensor:
    """(n, length) the same number of indices around the True ones in each row of (n, side)."""
    side = hidden.shape[1]
    first = hidden.int().argmax(1)
    last = torch.where(hidden.any(1), side - 1 - hidden.flip(1).int().argmax(1), first)
    length = min(int((last - first).max()) + 1 + 2 * _RIM_PX, side)
    start = (first - _RIM_PX).clamp(0, side - length)
    return start[:, None] + torch.arange(length, device=hidden.device)


def _continued(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(n, C, h, w) values, where they are not known those of their neighbourhood."""
    values = torch.where(known, values, 0)
    if bool(known.all()) or max(values.shape[2:]) == 1:
        return values
    share = F.avg_pool2d(known.to(values.dtype), 2, ceil_mode=True)
    coarse = F.avg_pool2d(values, 2, ceil_mode=True) / share.clamp_min(0.25)
    coarse = _continued(coarse, share > 0)
    guess = F.interpolate(coarse, size=values.shape[2:], mode="bilinear")
    result = torch.where(known, values, guess)
    for _ in range(_SWEEPS):
        near = F.pad(result, (1, 1, 1, 1), mode="replicate")
        mean = near[..., :-2, 1:-1] + near[..., 2:, 1:-1] + near[..., 1:-1, :-2]
        result = torch.where(known, values, (mean + near[..., 1:-1, 2:]) / 4)
    return result
