"""Masks optimised along integrated gradients: what I-GOS, iGOS+ and iGOS++ do to a tile.

A mask M of few cells, upsampled, mixes the tile x with a background b that shows nothing:
phi(x, b, M) = M x + (1 - M) b. With p the target's probability and N steps,

    S(x, b, M) = 1/N sum over k = 1..N of p(phi(x, b, k/N M) + noise)

is low where the mask hides what the decision rests on (deletion), and S(b, x, M), the tile and the
background swapped, is high where it shows enough of it (insertion). Its gradient with respect to
M looks ahead to where the whole mask has been taken away; the probability's own vanishes where
that is 0 or 1. In the place of p there may be the score, from 0 on the background alone to 1 on
the whole tile, for networks so sure of themselves that p hardly falls before most of the tile is
hidden. Where the score does not fall, nothing is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torchvision.transforms.v2.functional import gaussian_blur

from napari_smoothsal.attribution.background import Plain, background_of
from napari_smoothsal.attribution.igos_options import IgosOptions
from napari_smoothsal.attribution.mask_optimisation import (
    Iteration,
    MaskOptimisation,
    Mixtures,
    Scored,
    Steps,
)
from napari_smoothsal.attribution.mask_terms import BilateralVariation, total_variation
from napari_smoothsal.attribution.perturbation import PerturbedTile

IMAGENET_STD = 0.226
"""Mean over channels, in units of colours from 0 to 1: what the authors' constants are in units
of."""

_EDGE_VARIANCE = 0.01
"""Squares of differences above it are edges; in those units."""
_DECAY = 0.2
_SUFFICIENT = 1e-4
_SHORTEST_STEP = 1e-5
_LEAST_FALL = 1.0
"""Of a score (logit), from the tile to the background alone; shares of less would be of noise."""


@dataclass(frozen=True)
class _Term:
    """Part of the objective: S of a mask, by its place among those that are upsampled."""

    name: str
    mask: int
    inserts: bool


class Igos(MaskOptimisation):
    """One mask for deletion, or for both; or two and their product.

    With one mask the objective is S(x, b, M) - S(b, x, M) (the first alone for I-GOS), with two
    masks

        1/2 (S(x, b, Md Mi) - S(b, x, Md Mi) + S(x, b, Md) - S(b, x, Mi))

    and in either case ``sparsity`` mean |1 - M| + ``smoothness`` TV(M), where M is the product. A
    step goes along the gradient, all masks being clamped to 0..1 after it. The line search begins
    with ``step`` a, and takes a fifth of it until the objective falls by 1e-4 a |gradient|^2 or
    more; the noise is another in each iteration and the same throughout its search, so that an
    accepted step does lower what was measured, and where none does there is none.

    Parameters
    ----------
    tile
        The tile.
    options
        Of its method.
    deletion, insertion
        Which of both there is.
    separate
        Two masks, or one.
    bilateral
        Whether TV forgives edges.
    """

    def __init__(
        self,
        tile: PerturbedTile,
        options: IgosOptions,
        *,
        deletion: bool = True,
        insertion: bool = True,
        separate: bool = False,
        bilateral: bool = True,
    ) -> None:
        background = background_of(tile, options.fill)
        super().__init__(tile, background, options.mask_px, options.iterations)
        self._options = options
        self._published = options.variant == "published"
        if self._published and options.fill == "blurred":
            seen = tile.normalised(_blurred_as_published(tile.colours)[None])[0]
            self.background = Plain(tile.image, seen)
        self.noise_sigma = options.noise * IMAGENET_STD
        if separate:
            self.masks = self.masks.repeat(2, 1, 1)
            self.slopes = torch.zeros_like(self.masks)
        terms = [_Term("deletion", 0, False), _Term("insertion", 0, True)]
        if separate:
            terms += [_Term("deletion_alone", 1, False), _Term("insertion_alone", 2, True)]
        self._terms = [t for t in terms if (insertion if t.inserts else deletion)]
        self._share = 1 / len(self.masks)
        self._bilateral = (
            BilateralVariation(
                tile.colours,
                _EDGE_VARIANCE * IMAGENET_STD**2,
                options.tv_beta,
                as_published=self._published,
            )
            if bilateral
            else None
        )
        self._noises = 0
        self.of_scores = options.explained == "score"
        self._blank, self._fall = 0.0, 1.0

    def steps(self) -> Steps:
        if self.of_scores:
            self._blank, whole = (yield self._ends()).values.tolist()
            self._fall = whole - self._blank
            if not self._falls:
                for _ in range(self.count):
                    self.finish_iteration(
                        self.masks, self.slopes, Iteration({}, step=0.0, after=0.0)
                    )
                return
        options, ahead = self._options, self.masks
        signs = torch.tensor([-1.0 if term.inserts else 1.0 for term in self._terms])
        weights = signs.repeat(options.steps) * self._share / options.steps / self._fall
        for number in range(self.count):
            with torch.enable_grad():
                masks = self.masks.clone().requires_grad_()
                shown, held = self._shown(masks), self._held(masks)
            scored = self._of_the_fall(
                (yield self._mixtures(shown.detach(), number, self._terms, weights))
            )
            (gradient,) = torch.autograd.grad(
                [shown, held], masks, [scored.gradient, torch.ones_like(held)]
            )
            names = [*(term.name for term in self._terms), "sparsity", "smoothness"]
            values = [*_values(scored, self._terms, self._share), *held.tolist()]
            terms = dict(zip(names, values, strict=True))
            if options.optimiser == "nesterov":
                before, ahead = ahead, self.masks - options.step * gradient
                far = ahead + number / (number + 3) * (ahead - before)
                self.finish_iteration(
                    far.clamp(0, 1), gradient, Iteration(terms, options.step, after=math.nan)
                )
            else:
                yield from self._search(gradient, number, terms)

    @property
    def caveat(self) -> str:
        if self._falls:
            return super().caveat
        return (
            "explained = 'score': of some tiles the score is not 1 or more above that of their "
            "background alone, so that there is nothing to look for, and their maps are blank"
        )

    @property
    def _falls(self) -> bool:
        return not self.of_scores or self._fall >= _LEAST_FALL

    def _search(self, gradient: torch.Tensor, number: int, terms: dict[str, float]) -> Steps:
        """Finish an iteration by the longest step that lowers the objective enough."""
        before = sum(terms.values())
        if self._published:
            before = yield from self._objective(self.masks, number)
        squared = float(gradient.square().sum())
        step, after = self._options.step, before
        while step >= _SHORTEST_STEP:
            masks = (self.masks - step * gradient).clamp(0, 1)
            limit = before - _SUFFICIENT * step * squared
            after = yield from self._objective(masks, number, limit)
            if after <= limit:
                break
            step *= _DECAY
        else:
            masks = (self.masks - step * gradient).clamp(0, 1)
            if not self._published:
                masks, step, after = self.masks, 0.0, before
        self.finish_iteration(masks, gradient, Iteration(terms, step, after))

    def _objective(
        self, masks: torch.Tensor, number: int, limit: float = math.inf
    ) -> Generator[Mixtures, Scored, float]:
        """What the line search compares; infinite as soon as it is sure to be above a limit.

        What holds the mask costs no pass, and a probability is in 0..1: a step much too long is
        known for one without any pass, many others without those of deletion. A score has no
        such bounds.
        """
        share = 1.0 if self._published else self._share
        value, shown = float(self._held(masks).sum()), self._shown(masks)
        insertion = [term for term in self._terms if term.inserts]
        deletion = [term for term in self._terms if not term.inserts]
        for terms, gain in ((insertion, share * len(insertion)), (deletion, 0.0)):
            if not self.of_scores and value - gain > limit:
                return math.inf
            if terms:
                scored = self._of_the_fall((yield self._mixtures(shown, number, terms)))
                value += sum(_values(scored, terms, share))
        return value

    def _shown(self, masks: torch.Tensor) -> torch.Tensor:
        """(j, H, W) upsampled: of two masks their product comes first."""
        shown = self._upsampled(masks)
        return shown if len(masks) == 1 else torch.cat([shown.prod(0, keepdim=True), shown])

    def _held(self, masks: torch.Tensor) -> torch.Tensor:
        """(2,) what the mask's size and roughness add to the objective."""
        mask, options = masks.prod(0), self._options
        hidden = (1 - mask).abs().mean()
        rough = (
            total_variation(mask, options.tv_beta)
            if self._bilateral is None
            else self._bilateral(mask, self._upsampled(mask))
        )
        return torch.stack([options.sparsity * hidden, options.smoothness * rough])

    def _ends(self) -> Mixtures:
        """The background alone, and the tile."""
        return Mixtures(
            masks=self._upsampled(self.masks[:1]),
            which=torch.tensor([0, 0]),
            shares=torch.tensor([0.0, 1.0]),
            swapped=torch.tensor([False, False]),
        )

    def _of_the_fall(self, scored: Scored) -> Scored:
        """Values as shares of the way from the background to the tile."""
        return replace(scored, values=(scored.values - self._blank) / self._fall)

    def _mixtures(
        self,
        shown: torch.Tensor,
        number: int,
        terms: Sequence[_Term],
        weights: torch.Tensor | None = None,
    ) -> Mixtures:
        """Step by step the images of some terms."""
        steps = self._options.steps
        step = torch.arange(steps).repeat_interleave(len(terms))
        noise = None
        if self._published:
            noise = self._noises + torch.arange(len(step))
            self._noises += len(step)
        elif self._options.noise:
            noise = number * steps + step
        return Mixtures(
            masks=shown,
            which=torch.tensor([term.mask for term in terms]).repeat(steps),
            shares=(step + 1) / steps,
            swapped=torch.tensor([term.inserts for term in terms]).repeat(steps),
            noise=noise,
            weights=weights,
        )


def _values(scored: Scored, terms: Sequence[_Term], share: float) -> list[float]:
    """What each term adds to the objective."""
    means = scored.values.double().unflatten(0, (-1, len(terms))).mean(0)
    return [
        share * (-mean if term.inserts else mean)
        for term, mean in zip(terms, means.tolist(), strict=True)
    ]


def _blurred_as_published(colours: torch.Tensor) -> torch.Tensor:
    """(C, H, W): a Gaussian cut off so early that it is nearly a box, of 8-bit values."""
    side = max(colours.shape[1:])
    kernel, sigma = (51, 50.0) if side < 500 else (151, 150.0) if side < 800 else (201, 200.0)
    # Reflection needs a kernel smaller than twice the image.
    kernel = min(kernel, 2 * min(colours.shape[1:]) - 1)
    blurred: torch.Tensor = gaussian_blur(colours, [kernel, kernel], [sigma, sigma])
    return (blurred * 255).round() / 255
