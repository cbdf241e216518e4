"""Baselines: the images of "nothing there" that DeepLift compares a tile with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torchvision.transforms.v2.functional import gaussian_blur

from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.core.registry import Registry

BLUR_SIGMA_PX = 50.0
"""As iGOS++ and its kin blur: no nucleus is left, the stain's gradients are."""

_GLASS = 0.9
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Baseline:
    """One kind of baseline.

    Attributes
    ----------
    name
        As in the method option ``baseline``.
    title
        One line in plain words.
    make
        From the tiles (B, C, H, W), 0..1, and the card's mean (1, C, 1, 1), 0..1, to the baselines
        (n, C, H, W), 0..1; n is 1 where all tiles share one, else B.
    shared
        Whether every tile of a size has the same one.
    uniform
        Whether it is of one colour: the same however the tile is shifted.
    """

    name: str
    title: str
    make: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    shared: bool = True
    uniform: bool = True


BASELINES: Registry[Baseline] = Registry("baseline")

CUSTOM = "custom"
"""Images of the caller's own; see `explain_tiles`."""

NORMAL_TISSUE = "normal_tissue"
"""The tiles of normal tissue that a model brings, for methods that choose from many."""


def baseline_of(name: str, what: str = "baseline", *others: str) -> Baseline:
    """A baseline by its name; ``"#rrggbb"`` is one of that colour.

    Parameters
    ----------
    name
        Of it.
    what, others
        What messages call it, and what could be chosen in its place.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    """
    if not _COLOUR.fullmatch(name):
        if name not in BASELINES:
            raise UnknownNameError(what, name, [*BASELINES, *others, "#rrggbb"])
        return BASELINES[name]
    colour = tuple(int(name[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return Baseline(name, "One colour", lambda tiles, _mean: _constant(tiles, colour))


def _constant(tiles: torch.Tensor, colour: tuple[float, ...]) -> torch.Tensor:
    if tiles.shape[1] != len(colour):
        raise SettingError(
            f"a baseline of one colour has {len(colour)} channels, the model {tiles.shape[1]}"
        )
    value = torch.tensor(colour, dtype=tiles.dtype, device=tiles.device)
    return value.reshape(1, -1, 1, 1).expand(1, -1, *tiles.shape[2:])


def _zero(tiles: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    return mean.expand(1, -1, *tiles.shape[2:])


def _uniform(value: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    return lambda tiles, _mean: torch.full_like(tiles[:1], value)


def _tissue_mean(tiles: torch.Tensor, _mean: torch.Tensor) -> torch.Tensor:
    # Glass lets all light through: where every channel is bright there is no tissue.
    tissue = (tiles.amin(1, keepdim=True) < _GLASS).to(tiles.dtype)
    tissue = torch.where(tissue.sum((2, 3), keepdim=True) > 0, tissue, 1)
    mean = (tiles * tissue).sum((2, 3), keepdim=True) / tissue.sum((2, 3), keepdim=True)
    return mean.expand_as(tiles)


def blurred(tiles: torch.Tensor, sigma: float) -> torch.Tensor:
    """Tiles (B, C, H, W), blurred by a Gaussian that is cut off at twice its sigma, in px."""
    # Reflection, which gaussian_blur pads with, needs a kernel smaller than twice the image.
    radius = min(int(2 * sigma), min(tiles.shape[2:]) - 1)
    # One axis after the other: a kernel of 201 x 201 px would be a hundred times the work.
    for size in ([2 * radius + 1, 1], [1, 2 * radius + 1]):
        tiles = gaussian_blur(tiles, size, [sigma] * 2)
    return tiles


def _blurred(tiles: torch.Tensor, _mean: torch.Tensor) -> torch.Tensor:
    return blurred(tiles, BLUR_SIGMA_PX)


for _entry in (
    Baseline("zero", "Zero after normalisation: the mean colour of the training images", _zero),
    Baseline("black", "Black", _uniform(0.0)),
    Baseline("white", "White, as glass", _uniform(1.0)),
    Baseline("tissue_mean", "The mean colour of each tile's own tissue", _tissue_mean, False),
    Baseline("blurred", f"The tile itself, blurred ({BLUR_SIGMA_PX:g} px)", _blurred, False, False),
):
    BASELINES.register(_entry)
