"""Fills: what shows where a piece of the tile is covered.

Every baseline of DeepLift is one, and so is what the surroundings continue to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch.nn import functional as F

from napari_smoothsal.attribution.baselines import baseline_of
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.core.errors import SettingError

INPAINTED = "inpainted"

_SWEEPS = 4
_RIM_PX = 2
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


Fill = Annotated[str, AfterValidator(checked_fill)]
"""The type of a method's option that names one."""


def fill_field(default: str = "zero", inpainted: str = "") -> Any:
    """The option ``fill`` of a method.

    Parameters
    ----------
    default
        A fill's name.
    inpainted
        What `INPAINTED` means to the method; empty where it has no use for it.
    """
    last = f", a colour as `#rrggbb`, or `{INPAINTED}` ({inpainted})."
    return Field(
        default,
        description="What shows where the tile is hidden: `zero` (after normalisation: the mean "
        "colour of the training images), `black`, `white` (glass), `tissue_mean` (of this tile), "
        "`blurred` (this tile)" + (last if inpainted else " or a colour as `#rrggbb`."),
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
        If the fill depends on what is covered; see `Covering`.
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


class Covering:
    """A tile, covered in one way after another.

    Parameters
    ----------
    tile
        The tile.
    fill
        What shows where it is covered: see `filled`, or `INPAINTED`.
    """

    def __init__(self, tile: PerturbedTile, fill: str) -> None:
        self._image = tile.image
        self._shown = None if fill == INPAINTED else _pixels(filled(tile, fill)).contiguous()
        # Copies of the tile in the images' own memory layout, channels last, and where they are
        # covered: to restore that and cover something else is less to write than all of a tile.
        self._copies = tile.image.new_empty(0, len(tile.image))
        self._hidden = torch.empty(0, dtype=torch.int64, device=tile.image.device)

    def images(self, count: int, hidden: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) as the network sees it, until the next ones are asked for.

        Parameters
        ----------
        count
            n.
        hidden
            Where they are covered: indices into (n, H, W), flat.
        """
        channels, *sides = self._image.shape
        image = _pixels(self._image)
        pixels = len(image)
        if self._shown is None:
            masks = torch.zeros(count, *sides, dtype=torch.bool, device=hidden.device)
            masks.view(-1)[hidden] = True
            return inpainted(self._image, masks)
        if len(self._copies) < count * pixels:
            self._copies = image.repeat(count, 1)
        else:
            self._copies.index_copy_(0, self._hidden, image[self._hidden % pixels])
        self._copies.index_copy_(0, hidden, self._shown[hidden % pixels])
        self._hidden = hidden
        return self._copies[: count * pixels].reshape(count, *sides, channels).movedim(-1, 1)


def _pixels(image: torch.Tensor) -> torch.Tensor:
    """(H W, C) of (C, H, W)."""
    return image.flatten(1).mT


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
