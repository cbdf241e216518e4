"""``lime``: a linear model of which superpixels are seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from napari_smoothsal.attribution.base import METHODS, PerturbationMethod
from napari_smoothsal.attribution.coalitions import CoalitionOptions, Superpixels, too_few
from napari_smoothsal.attribution.masking import generator_of
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.attribution.regression import Regression


class LimeOptions(CoalitionOptions):
    """What LIME can be told."""

    samples: int = Field(
        1000, ge=2, description="How many images with superpixels hidden at random are scored."
    )
    distance: Literal["cosine", "euclidean"] = Field(
        "cosine",
        description="How far an image is from the tile, 0 to 1, by the share s of superpixels that "
        "are seen: `cosine` is 1 - sqrt(s), `euclidean` is sqrt(1 - s).",
    )
    kernel_width: float = Field(
        0.25,
        gt=0,
        description="The distance over which images lose their weight in the fit: less explains "
        "what happens nearer to the tile.",
    )
    ridge: float = Field(
        1.0, ge=0, description="How strongly the fit is drawn to zero; it steadies few samples."
    )


class Lime(Perturbation):
    """A tile without some of its superpixels, each hidden with a probability of one half.

    With z_i in {0, 1}^P the superpixels seen in image i, f_i its score and D its distance from
    the tile, which is number 0, the shares w minimise

        sum_i exp(-D(z_i)^2 / (2 width^2)) (f_i - b - w . z_i)^2 + ridge |w|^2

    A pixel's value is its superpixel's w divided by its area, as with the Shapley methods. Where
    the score is a sum over superpixels and ``ridge`` is 0, w are its terms; ``ridge`` shrinks them
    by about ridge / (ridge + sum of weights / 4).
    """

    def __init__(self, tile: PerturbedTile, options: LimeOptions) -> None:
        self.count = options.samples
        self._seed, self._options = tile.seed, options
        self._superpixels = Superpixels(tile, options)
        self.caveat = too_few("lime", options.samples, 1 + self._superpixels.count)
        penalties = torch.full((1 + self._superpixels.count,), options.ridge)
        penalties[0] = 0  # of b
        self._fit = Regression(penalties)

    def images(self, which: Sequence[int]) -> torch.Tensor:
        return self._superpixels.images(self._seen(which))

    def add(self, which: Sequence[int], scores: torch.Tensor) -> None:
        seen = self._seen(which).double()
        share = seen.mean(1)
        cosine = self._options.distance == "cosine"
        distance = 1 - share.sqrt() if cosine else (1 - share).sqrt()
        weights = torch.exp(-distance.square() / (2 * self._options.kernel_width**2))
        self._fit.add(torch.cat([torch.ones(len(seen), 1), seen], 1), scores.cpu(), weights)

    def result(self) -> torch.Tensor:
        return self._superpixels.map(self._fit.solved()[0][1:])

    def relative_standard_error(self) -> float:
        """By the fit's residuals, which hold what superpixels do together, too."""
        fit, variances = self._fit.solved()
        return self._superpixels.relative_error(fit[1:], variances[1:])

    def _seen(self, which: Sequence[int]) -> torch.Tensor:
        """(n, P) which superpixels are."""
        shares = [
            torch.rand(self._superpixels.count, generator=generator_of(self._seed, number))
            for number in which
        ]
        whole = torch.tensor([number == 0 for number in which])
        return (torch.stack(shares) < 0.5) | whole[:, None]


LIME = METHODS.register(
    PerturbationMethod(
        name="lime",
        title="LIME: what each superpixel adds to the score, by a linear fit around the tile",
        positive="supports",
        negative="speaks against",
        options=LimeOptions,
        perturb=Lime,
    )
)
"""Local interpretable model-agnostic explanations (Ribeiro et al. 2016); see `Lime`."""
