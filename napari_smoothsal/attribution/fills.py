"""Fills: what shows where a piece of the tile is covered.

Every baseline of DeepLift is one, and so is what the surroundings continue to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
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
        baseline_of(name, "fill", INPAINTED)
    return name


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


def covered(tile: PerturbedTile, fill: str | torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Cover a tile in several ways.

    Parameters
    ----------
    tile, fill
        The tile, and what shows where it is covered: a name, or what `filled` has made of one.
    amount
        (n, H, W) bool, or from 0 (untouched) to 1 (covered). Where more than half is covered,
        what is inpainted does not look at the tile.

    Returns
    -------
    torch.Tensor
        (n, C, H, W) as the network sees it.
    """
    amount = amount[:, None]
    if isinstance(fill, torch.Tensor):
        shown = fill[None]
    elif fill == INPAINTED:
        hidden = amount if amount.dtype == torch.bool else amount > _SOFT
        shown = inpainted(tile.image, hidden[:, 0])
    else:
        shown = filled(tile, fill)[None]
    if amount.dtype == torch.bool:
        return _replaced(tile.image, shown, amount[:, 0])
    return torch.lerp(tile.image, shown, amount.to(tile.image.dtype))


def _replaced(image: torch.Tensor, shown: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """(n, C, H, W) an image with ``shown`` (1 or n, C, H, W) where it is hidden (n, H, W).

    Copied whole, and then written where little is hidden: a third of the time of `torch.where`.
    """
    count, pixels = len(hidden), image[0].numel()
    # In the images' own memory layout, channels last.
    seen = image.new_empty(count, *image.shape[1:], len(image)).copy_(image.movedim(0, -1))
    where = hidden.flatten().nonzero()[:, 0]
    of_shown = where if len(shown) == count else where % pixels
    values = shown.movedim(1, -1).reshape(-1, len(image))[of_shown]
    seen.view(-1, len(image)).index_copy_(0, where, values)
    return seen.movedim(-1, 1)


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
    result = image.repeat(len(hidden), 1, 1, 1)
    rows, columns = (_Extent.of(hidden.any(axis)) for axis in (2, 1))
    # Windows that hold a hole and a rim: most are small. Their sides are few, and each hole's is
    # its own, so that it is filled alike whatever else is asked for.
    length = torch.maximum(rows.length, columns.length) + 2 * _RIM_PX
    power = length.clamp_min(2).log2().ceil().int()
    for exponent in power.unique().tolist():
        number = (power == exponent).nonzero()[:, 0]
        y = rows.window(number, 2**exponent)[:, :, None]
        x = columns.window(number, 2**exponent)[:, None, :]
        which = number[:, None, None]
        known = ~hidden[which, y, x][:, None]
        window = _continued(image[:, y, x].movedim(0, 1), known)
        result[which, :, y, x] = window.movedim(1, -1)
    return result


@dataclass(frozen=True)
class _Extent:
    """Where along one axis each hole lies: (n,) its first pixel and how many, of a side."""

    first: torch.Tensor
    length: torch.Tensor
    side: int

    @classmethod
    def of(cls, hidden: torch.Tensor) -> _Extent:
        """Of (n, side) bool; a hole that is none has no length."""
        side, there = hidden.shape[1], hidden.int()
        first = there.argmax(1)
        stop = side - there.flip(1).argmax(1)
        return cls(first, torch.where(hidden.any(1), stop - first, 0), side)

    def window(self, number: torch.Tensor, length: int) -> torch.Tensor:
        """(n, length) the indices about some holes; all, where the side is shorter."""
        length = min(length, self.side)
        start = (self.first[number] - _RIM_PX).clamp(0, self.side - length)
        return start[:, None] + torch.arange(length, device=start.device)


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
