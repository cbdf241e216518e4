"""Tiles brought to the stain that a card names, before anything else is done to them.

The statistics of a tile and the colour space are torchstain's (Barbano and Pedersen), and what
comes out is what its normalisers give, bit for bit: 8-bit pixels, cut off and not rounded. Its own
``normalize`` knows three things less than is needed here, so that its few last lines are repeated:

- A tile may be read with a margin, for jitter. Its statistics are those of the tile itself.
- A tile without two dyes (glass, pen, grey) has no statistics: Macenko's raises an error or gives
  black, Reinhard's divides by zero. It stays as it is.
- It takes one tile; here the tiles of a batch go to several threads. All is done on the CPU, as
  torchstain's constants lie there: the same pixels, whatever device the network runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import torch

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.stain import StainNormalisation
from napari_smoothsal.slides.threads import default_threads

LEAST_STAINED = 0.01
"""Share of a tile's pixels that have to hold stain: of less, what dust there is would be both."""

LEAST_APART = 0.02
"""Second singular value of a tile's two dyes, of the first: 0.09 to 0.21 on 60 patches of tumours
and normal lymph node, 0 of grey, whose two dyes are one."""

LEAST_SPREAD = 1.5
"""Standard deviation of L, a and b: 4 to 28 on the same patches; up to 1.3 of bare glass with the
noise of a camera, which would be blown up to the target's."""

_GLASS = 240.0
_TRANSPARENT = 0.15
"""torchstain's defaults: the light that glass lets through, the density below which it is glass."""

Change = Callable[[torch.Tensor], torch.Tensor]
"""From pixels (3, H, W), 0..255, to others."""


class Normalised(NamedTuple):
    """Tiles after stain normalisation.

    Attributes
    ----------
    images
        (n, 3, H, W) uint8.
    as_they_were
        How many have no stain to be measured, and were left as they are.
    """

    images: torch.Tensor
    as_they_were: int


class StainNormaliser:
    """Brings tiles to one stain.

    Parameters
    ----------
    target
        As a card says it.
    """

    def __init__(self, target: StainNormalisation) -> None:
        self._change = _reinhard if target.method == "reinhard" else _macenko
        self._target = target

    def __call__(
        self, images: torch.Tensor, margin: int = 0, measured: torch.Tensor | None = None
    ) -> Normalised:
        """Normalise each tile by itself.

        Parameters
        ----------
        images
            (n, 3, H, W), uint8 or floats 0..1; floats are rounded to 8 bits, as torchstain takes
            them.
        margin
            Px around each tile, which are changed with it and not measured.
        measured
            Like ``images``: what the statistics are of, in their place. Tiles of which a part was
            changed are brought to the stain as they were before.
        """
        pixels = _whole(images)
        known = pixels if measured is None else _whole(measured)
        pairs = list(zip(pixels, known, strict=True))
        if len(pairs) < 2:
            done = [self._one(tile, of, margin) for tile, of in pairs]
        else:
            done = list(_pool().map(lambda tile, of: self._one(tile, of, margin), pixels, known))
        changed = [old if new is None else new for old, new in zip(pixels, done, strict=True)]
        left = sum(new is None for new in done)
        return Normalised(torch.stack(changed) if changed else pixels, left)

    @torch.no_grad()
    def _one(self, tile: torch.Tensor, measured: torch.Tensor, margin: int) -> torch.Tensor | None:
        height, width = measured.shape[1:]
        inner = measured[:, margin : height - margin, margin : width - margin]
        change = self._change(inner, self._target)
        return None if change is None else change(tile)


def stain_target_of(image: torch.Tensor, method: str) -> StainNormalisation:
    """The stain of one picture as a card's ``stain_normalisation``.

    Parameters
    ----------
    image
        (3, H, W) uint8: a picture whose stain tiles are to be brought to.
    method
        ``"reinhard"`` or ``"macenko"``.

    Raises
    ------
    SettingError
        If the picture shows too little stain, or there is no such method.
    """
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8:
        raise SettingError(
            f"a stain's target is a picture (3, height, width) of uint8; this one is "
            f"{tuple(image.shape)} of {image.dtype}"
        )
    if method == "reinhard":
        lab = _lab_statistics(image)
        if lab is not None:
            means, stds = (tuple(map(float, values)) for values in lab)
            return StainNormalisation(method="reinhard", lab_means=means, lab_stds=stds)
    elif method == "macenko":
        dyes = _dyes(image)
        if dyes is not None:
            matrix = tuple(tuple(map(float, row)) for row in dyes.matrix)
            most = tuple(map(float, dyes.most))
            return StainNormalisation(
                method="macenko", stain_matrix=matrix, max_concentrations=most
            )
    else:
        raise SettingError(f"method = {method!r}: give 'reinhard' or 'macenko'")
    raise SettingError(
        f"the picture of {image.shape[2]} x {image.shape[1]} px shows too little stain for method "
        f"{method!r}; give one that is filled by H&E-stained tissue"
    )


def _whole(images: torch.Tensor) -> torch.Tensor:
    """Of 8 bits, on the CPU."""
    pixels = images.detach().cpu()
    if pixels.dtype != torch.uint8:
        pixels = (pixels.double() * 255).round().clamp(0, 255).to(torch.uint8)
    return pixels


def _reinhard(tile: torch.Tensor, target: StainNormalisation) -> Change | None:
    from torchstain.torch.utils import lab2rgb, lab_merge, lab_split, rgb2lab, standardize

    measured = _lab_statistics(tile)
    if measured is None:
        return None
    wanted_means, wanted_stds = torch.tensor(target.lab_means), torch.tensor(target.lab_stds)

    def change(pixels: torch.Tensor) -> torch.Tensor:
        channels = lab_split(rgb2lab(pixels.type(torch.float32) / 255))
        moved = [
            standardize(channel, mean, std) * wanted_std + wanted_mean
            for channel, mean, std, wanted_mean, wanted_std in zip(
                channels, *measured, wanted_means, wanted_stds, strict=True
            )
        ]
        rgb: torch.Tensor = lab2rgb(lab_merge(*moved))
        return (rgb * 255).type(torch.uint8).permute(2, 0, 1)

    return change


def _lab_statistics(tile: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Means and standard deviations of L, a and b; None where one of them does not vary."""
    from torchstain.torch.normalizers import TorchReinhardNormalizer

    fitted = TorchReinhardNormalizer()
    fitted.fit(tile)
    stds: torch.Tensor = fitted.target_stds
    return (fitted.target_means, stds) if bool((stds >= LEAST_SPREAD).all()) else None


class _Dyes(NamedTuple):
    """Of one tile: densities (3, 2) of its dyes, and their largest concentrations (2,)."""

    matrix: torch.Tensor
    most: torch.Tensor


def _macenko(tile: torch.Tensor, target: StainNormalisation) -> Change | None:
    dyes = _dyes(tile)
    if dyes is None:
        return None
    matrix, most = torch.tensor(target.stain_matrix), torch.tensor(target.max_concentrations)

    def change(pixels: torch.Tensor) -> torch.Tensor:
        # In torchstain's order of operations: what it cuts off depends on the last bit.
        concentrations = torch.linalg.lstsq(dyes.matrix, _density(pixels).T)[0]
        concentrations *= (most / dyes.most).unsqueeze(-1)
        rgb = _GLASS * torch.exp(-torch.matmul(matrix, concentrations))
        rgb[rgb > 255] = 255
        rows = rgb.T.reshape(*pixels.shape[1:], 3).int()
        return rows.permute(2, 0, 1).to(torch.uint8)

    return change


def _dyes(tile: torch.Tensor) -> _Dyes | None:
    """What a tile is stained with; None where it is not, or with one dye."""
    from torchstain.torch.normalizers import TorchMacenkoNormalizer

    stained = ~torch.any(_density(tile) < _TRANSPARENT, dim=1)
    if float(stained.float().mean()) < LEAST_STAINED:
        return None
    fitted = TorchMacenkoNormalizer()
    fitted.fit(tile, Io=_GLASS, beta=_TRANSPARENT)
    matrix, most = fitted.HERef, fitted.maxCRef
    if not bool(torch.isfinite(matrix).all() and (most > 0).all()):
        return None
    first, second = torch.linalg.svdvals(matrix).tolist()
    return _Dyes(matrix, most) if second >= LEAST_APART * first else None


def _density(pixels: torch.Tensor) -> torch.Tensor:
    """(H W, 3) natural optical densities."""
    rows = pixels.permute(1, 2, 0).reshape(-1, 3)
    return -torch.log((rows.float() + 1) / _GLASS)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(default_threads(), thread_name_prefix="smoothsal-stain")
