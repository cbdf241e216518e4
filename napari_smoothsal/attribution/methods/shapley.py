"""Shapley values of superpixels: ``kernel_shap`` and ``shapley_sampling``.

A superpixel's Shapley value is what it adds to the score when it is uncovered, averaged over all
orders in which the tile can be uncovered, superpixel after superpixel. The values add up to the
score less that of the tile with everything hidden; so do the pixels of a map, where each
superpixel's value is spread evenly over its pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from pydantic import Field

from napari_smoothsal.attribution.base import METHODS, PerturbationMethod
from napari_smoothsal.attribution.coalitions import (
    CoalitionOptions,
    Superpixels,
    too_few,
)
from napari_smoothsal.attribution.masking import generator_of
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.attribution.regression import Regression
from napari_smoothsal.models.exact import exact


class _Shapley(Perturbation):
    """A tile that starts hidden (number 0) and seen (number 1); the coalitions follow."""

    def __init__(self, tile: PerturbedTile, options: CoalitionOptions) -> None:
        self._seed = tile.seed
        self._superpixels = Superpixels(tile, options)
        self._players = self._superpixels.count
        self._ends: list[float] = []

    @property
    def _rise(self) -> float:
        """What is to be shared: the tile's score less that of nothing."""
        return self._ends[-1] - self._ends[0]

    def images(self, which: Sequence[int]) -> torch.Tensor:
        ends = [torch.full((self._players,), bool(number)) for number in which if number < 2]
        rest = [self._coalition(number - 2) for number in which if number >= 2]
        return self._superpixels.images(torch.stack(ends + rest))

    def add(self, which: Sequence[int], scores: torch.Tensor) -> None:
        for number, score in zip(which, scores.tolist(), strict=True):
            if number < 2:
                self._ends.append(score)
            else:
                self._take(number - 2, score)

    def result(self) -> torch.Tensor:
        return self._superpixels.map(self._estimate()[0])

    def relative_standard_error(self) -> float:
        return self._superpixels.relative_error(*self._estimate())

    def convergence_delta(self) -> float:
        return abs(float(exact(self.result()).sum()) - self._rise)

    @abstractmethod
    def _coalition(self, number: int) -> torch.Tensor:
        """(P,) which superpixels are seen."""

    @abstractmethod
    def _take(self, number: int, score: float) -> None:
        """Take in a coalition's score."""

    @abstractmethod
    def _estimate(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(P,) values that add up to the rise, and their variances or NaN."""


class KernelShapOptions(CoalitionOptions):
    """What KernelSHAP can be told."""

    samples: int = Field(
        1000,
        ge=2,
        description="How many coalitions of superpixels are scored, in pairs; there should be "
        "several times as many as there are superpixels.",
    )


class KernelShap(_Shapley):
    """Shapley values as the solution of weighted least squares.

    With z in {0, 1}^P the superpixels seen, v(z) the score less that of nothing, the values phi
    minimise

        sum over z of (P - 1) / (C(P, |z|) |z| (P - |z|)) (v(z) - phi . z)^2,  sum_j phi_j = v(1)

    (Lundberg & Lee 2017, theorem 2). Coalitions are drawn with these weights, and with each its
    complement (Covert & Lee 2021): the fit depends on their scores' difference alone, so what an
    even number of superpixels do together cancels. The constraint is met exactly, by fitting
    what is left of an equal share for all. Where the score is a sum over superpixels the values are
    its terms as soon as there are as many pairs as superpixels, less one.
    """

    def __init__(self, tile: PerturbedTile, options: KernelShapOptions) -> None:
        super().__init__(tile, options)
        self.count = 2 + (2 * ((options.samples + 1) // 2) if self._players > 1 else 0)
        self.caveat = too_few("kernel_shap", self.count // 2 - 1, self._players - 1)
        self._fit = Regression(torch.zeros(self._players), empty=1)
        self._first = 0.0
        sizes = torch.arange(1, self._players)
        self._odds = 1 / (sizes * (self._players - sizes))
        """Of the sizes of coalitions, from 1 on."""

    def _coalition(self, number: int) -> torch.Tensor:
        generator = generator_of(self._seed, number // 2)
        size = 1 + torch.multinomial(self._odds, 1, generator=generator)
        seen = torch.randperm(self._players, generator=generator) < size
        return ~seen if number % 2 else seen

    def _take(self, number: int, score: float) -> None:
        if number % 2 == 0:
            self._first = score
            return
        # Deviations from an equal share; of the complement they are the opposite.
        seen = self._coalition(number - 1).double()
        feature = seen - seen.mean()
        target = (self._first - score) / 2 - (seen.mean() - 0.5) * self._rise
        self._fit.add(feature[None], target[None], torch.ones(1))

    def _estimate(self) -> tuple[torch.Tensor, torch.Tensor]:
        fit, variances = self._fit.solved()
        return fit + self._rise / self._players, variances


class ShapleySamplingOptions(CoalitionOptions):
    """What Shapley sampling can be told."""

    permutations: int = Field(
        20,
        ge=1,
        description="How many orders of uncovering the tile are tried; each takes one pass for "
        "each superpixel.",
    )


class ShapleySampling(_Shapley):
    """Shapley values as the mean over random orders.

    With N orders, phi_j = 1/N sum over orders of v(those before j, and j) - v(those before j)
    (Castro et al. 2009; Strumbelj & Kononenko 2010). Every second order is the one before it in
    reverse (Mitchell et al. 2022), which cancels what pairs of superpixels do together. Only whole
    orders count, so that the values add up to the rise; of the first one, what is not
    known yet is shared equally.
    """

    def __init__(self, tile: PerturbedTile, options: ShapleySamplingOptions) -> None:
        super().__init__(tile, options)
        self.count = 2 + options.permutations * (self._players - 1)
        self._gains: list[torch.Tensor] = []
        """(P,) of each whole order."""
        self._uncovered: dict[int, float] = {}
        """What the superpixels of the present order added so far."""

    def _coalition(self, number: int) -> torch.Tensor:
        order, last = divmod(number, self._players - 1)
        seen = torch.zeros(self._players, dtype=torch.bool)
        seen[self._order(order)[: last + 1]] = True
        return seen

    def _order(self, number: int) -> torch.Tensor:
        order = torch.randperm(self._players, generator=generator_of(self._seed, number // 2))
        return order.flip(0) if number % 2 else order

    def _take(self, number: int, score: float) -> None:
        number, last = divmod(number, self._players - 1)
        order = self._order(number).tolist()
        self._uncovered[order[last]] = score - self._ends[0] - sum(self._uncovered.values())
        if last == self._players - 2:
            self._gains.append(self._shared())
            self._uncovered = {}

    def _shared(self) -> torch.Tensor:
        """(P,): the present order's gains, and what is not known yet shared equally."""
        left = self._players - len(self._uncovered)
        rest = (self._rise - sum(self._uncovered.values())) / left
        return torch.tensor(
            [self._uncovered.get(player, rest) for player in range(self._players)],
            dtype=torch.float64,
        )

    def _estimate(self) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._gains:
            return self._shared(), torch.full((self._players,), torch.nan)
        gains = torch.stack(self._gains)
        pairs = gains[: len(gains) // 2 * 2].unflatten(0, (-1, 2)).mean(1)
        variances = (
            pairs.var(0) / len(pairs) if len(pairs) > 1 else torch.full_like(gains[0], torch.nan)
        )
        return gains.mean(0), variances


KERNEL_SHAP = METHODS.register(
    PerturbationMethod(
        name="kernel_shap",
        title="KernelSHAP: each superpixel's Shapley value, its fair share of the score, by a fit",
        positive="supports",
        negative="speaks against",
        options=KernelShapOptions,
        perturb=KernelShap,
    )
)
"""Lundberg & Lee 2017; see `KernelShap`."""

SHAPLEY_SAMPLING = METHODS.register(
    PerturbationMethod(
        name="shapley_sampling",
        title="Shapley sampling: each superpixel's fair share of the score, by random orders",
        positive="supports",
        negative="speaks against",
        options=ShapleySamplingOptions,
        perturb=ShapleySampling,
    )
)
"""Castro et al. 2009, Strumbelj & Kononenko 2010; see `ShapleySampling`."""
