"""``extremal_perturbation``: of all smooth regions of one size, the one that scores best alone."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from napari_smoothsal.attribution.background import Background, Blurs, background_of
from napari_smoothsal.attribution.base import METHODS, MaskMethod
from napari_smoothsal.attribution.mask_optimisation import (
    Iteration,
    MaskOptimisation,
    Mixtures,
    Steps,
)
from napari_smoothsal.attribution.mask_options import MaskOptions
from napari_smoothsal.attribution.mask_terms import shown_share
from napari_smoothsal.attribution.perturbation import PerturbedTile

_COLDNESS = 20.0
_MOMENTUM = 0.9
_CELLS = 32 * 32
"""Of the authors' mask, for which their step is: the mean over cells is what has gradients."""
_RISE = 15.0
"""Of a score that their weight of the area is for."""
_LEAST_RISE = 1e-6
_DIGITS = 6
"""To which cells are the same."""
_FAR = 0.5
"""Share of the area, or of what it leaves, by which a region may miss it."""


class ExtremalPerturbationOptions(MaskOptions):
    """What extremal perturbation can be told."""

    mask_px: int = Field(
        32,
        ge=1,
        description="Cells of the mask along each side of the tile, at most its px.",
    )
    iterations: int = Field(800, ge=1, description="How many steps the mask takes.")
    area: float = Field(
        0.1, gt=0, lt=1, description="Share of the tile that the region has, 0 to 1."
    )
    game: Literal["preserve", "delete", "dual"] = Field(
        "preserve",
        description="The region alone shall score high (`preserve`), the tile without it low "
        "(`delete`), or both (`dual`).",
    )
    radius_px: float = Field(
        21.0,
        gt=0,
        description="Radius of the discs that the region is made of: less makes it finer.",
    )
    levels: int = Field(
        8,
        ge=2,
        description="Of fill `blurred`: what is hidden by half is blurred less than what is hidden "
        "altogether, in so many levels; 2 mixes the tile with one blur.",
    )
    weight: float = Field(
        300.0,
        gt=0,
        description="How strongly the region is held to its area, in units of a score that rises "
        "by 15 from the hidden tile to the tile, as those do that the authors take 300 for.",
    )
    growth_pct: float = Field(
        0.35, ge=0, description="By so many per cent `weight` grows with each step."
    )
    mirror: bool = Field(
        True,
        description="Show the model every other image mirrored, against artefacts of the mask.",
    )
    step: float = Field(0.01, gt=0, description="Step length of gradient descent with momentum.")


class ExtremalPerturbation(MaskOptimisation):
    """One mask of a given area, by gradient descent with momentum on the score.

    The mask m is a smooth maximum of discs about the cells, with parameters p in 0..1:

        m(u) = sum_v z_uv exp(20 z_uv) / sum_v exp(20 z_uv),
        z_uv = p_v exp(-2 max(0, |u - v| / ``radius_px`` - 1/2)^2)

    over the cells v up to one more than a radius from u; beyond the tile p is as at its rim. With
    f the score, and r 1 for the share ``area`` of cells with the largest m and 0 for the others,
    in step t p lowers

        -15 f(m) / |f(1) - f(0)| + ``weight`` (1 + ``growth_pct`` / 100)^t mean (m - r)^2

    where f(m) is that of the tile seen through m, or its negative seen through 1 - m, or the sum
    of both. The authors take m at every pixel, here it is taken at the cells and interpolated. They
    take f as it is, so that of models whose scores are small the area alone would count. And here
    no place is preferred: cells with the same m share their r, and at first all have the same; with
    the authors' p = 0 beyond the tile the rims and corners begin with another m, and win where the
    score says little.
    """

    of_scores = True

    def __init__(self, tile: PerturbedTile, options: ExtremalPerturbationOptions) -> None:
        super().__init__(tile, _background(tile, options), options.mask_px, options.iterations)
        self._options = options
        cells = options.mask_px**2
        self._sorted = (torch.arange(cells) >= round((1 - options.area) * cells)).to(self.masks)
        self._discs = _discs(options.mask_px, options.radius_px, tile.image)

    def steps(self) -> Steps:
        options = self._options
        scored = yield Mixtures(
            masks=self._upsampled(self.masks),
            which=torch.zeros(2, dtype=torch.int64),
            shares=torch.tensor([0.0, 1.0]),
            swapped=torch.zeros(2, dtype=torch.bool),
        )
        rise = max(float(scored.values.diff().abs()), _LEAST_RISE)
        parameters = torch.full_like(self.masks, 0.5).requires_grad_()
        descent = torch.optim.SGD(
            [parameters],
            lr=options.step * parameters.numel() / _CELLS,
            momentum=_MOMENTUM,
            dampening=_MOMENTUM,
        )
        signs = {"preserve": [-1.0], "delete": [1.0], "dual": [-1.0, 1.0]}[options.game]
        weights = torch.tensor(signs) * _RISE / rise
        weight = options.weight
        for number in range(self.count):
            with torch.enable_grad():
                mask = self._smooth(parameters)
                shown = self._upsampled(mask)
                area = weight * (mask - self._wanted(mask.detach())).square().mean()
            scored = yield Mixtures(
                masks=shown.detach(),
                which=torch.zeros(len(signs), dtype=torch.int64),
                shares=torch.ones(len(signs)),
                swapped=weights > 0,
                weights=weights,
                mirrored=options.mirror and number % 2 == 0,
            )
            (parameters.grad,) = torch.autograd.grad(
                [shown, area], parameters, [scored.gradient, torch.ones_like(area)]
            )
            terms = {"score": float(scored.values @ weights.to(scored.values)), "area": area.item()}
            descent.step()
            with torch.no_grad():
                parameters.clamp_(0, 1)
                smooth = self._smooth(parameters)
            self.finish_iteration(
                smooth, parameters.grad, Iteration(terms, options.step, after=math.nan)
            )
            weight *= 1 + options.growth_pct / 100

    @property
    def caveat(self) -> str:
        asked, reached = self._options.area, shown_share(self.mask)
        if abs(reached - asked) <= _FAR * min(asked, 1 - asked):
            return ""
        return (
            "method 'extremal_perturbation': not all regions have the area asked for, "
            f"{asked:g} of the tile, after {self.count} iterations: what is missing or too much "
            "may matter as well; give more iterations, or a larger step or weight"
        )

    def result(self) -> torch.Tensor:
        """(1, H, W) the map: how far each pixel is in the region, 0 to 1."""
        return self._upsampled(self.mask)[None]

    def _wanted(self, mask: torch.Tensor) -> torch.Tensor:
        """(1, mask_px, mask_px) what the area asks of each cell."""
        _, rank = mask.round(decimals=_DIGITS).unique(return_inverse=True)
        order = rank.flatten().argsort()
        sums = torch.zeros_like(self._sorted).index_add_(0, rank.flatten()[order], self._sorted)
        counts = rank.flatten().bincount(minlength=len(sums))
        shares: torch.Tensor = sums / counts.clamp_min(1)
        return shares[rank]

    def _smooth(self, parameters: torch.Tensor) -> torch.Tensor:
        """(1, mask_px, mask_px) the mask of parameters (1, mask_px, mask_px)."""
        side = math.isqrt(len(self._discs))
        beyond = F.pad(parameters[None], [side // 2] * 4, mode="replicate")
        near = F.unfold(beyond, side)[0] * self._discs[:, None]
        return (near * (_COLDNESS * near).softmax(0)).sum(0).reshape(parameters.shape)


def _background(tile: PerturbedTile, options: ExtremalPerturbationOptions) -> Background:
    if options.fill == "blurred":
        return Blurs(tile, options.levels)
    return background_of(tile, options.fill)


def _discs(cells: int, radius_px: float, image: torch.Tensor) -> torch.Tensor:
    """(k,) how far a disc about a cell reaches each of the cells in a square about it."""
    radius = radius_px * cells / max(image.shape[1:])
    reach = min(1 + math.ceil(radius), cells)
    at = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    distance = torch.hypot(at[:, None], at) / radius
    return torch.exp(-2 * (distance - 0.5).clamp_min(0).square()).flatten()


EXTREMAL_PERTURBATION = METHODS.register(
    MaskMethod(
        name="extremal_perturbation",
        title="Extremal perturbation: of all smooth regions of one size, the one that scores best",
        positive="decides",
        negative="",
        options=ExtremalPerturbationOptions,
        idle=lambda options: () if options.fill == "blurred" else {"levels"},
        optimise=ExtremalPerturbation,
    )
)
"""Fong, Patrick & Vedaldi 2019; see `ExtremalPerturbation`."""
