"""``meaningful_perturbation``: the smallest smooth mask that takes the probability away."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field

from napari_smoothsal.attribution.background import background_of
from napari_smoothsal.attribution.base import METHODS, MaskMethod
from napari_smoothsal.attribution.mask_optimisation import (
    Iteration,
    MaskOptimisation,
    Mixtures,
    Steps,
)
from napari_smoothsal.attribution.mask_options import MaskOptions
from napari_smoothsal.attribution.mask_terms import differences
from napari_smoothsal.attribution.masking import generator_of
from napari_smoothsal.attribution.perturbation import PerturbedTile

_CIRCLES = 24
_SUPPRESSED = 0.99


class MeaningfulPerturbationOptions(MaskOptions):
    """What meaningful perturbation can be told."""

    iterations: int = Field(300, ge=1, description="How many steps the mask takes.")
    sparsity: float = Field(
        1e-4,
        ge=0,
        description="Weight of the hidden cells (lambda 1), summed up: more hides less.",
    )
    smoothness: float = Field(
        1e-2, ge=0, description="Weight of the mask's roughness (lambda 2), summed up over cells."
    )
    tv_beta: float = Field(
        3.0, ge=1, description="Exponent of the differences that roughness sums up."
    )
    blur_px: float = Field(
        5.0, ge=0, description="Standard deviation of the blur of the upsampled mask, in px."
    )
    jitter_px: int = Field(
        4,
        ge=1,
        description="In every step the mask lies by 0 to less than so many px further down and to "
        "the right, so that it fits no artefact of the model; 1: it stays.",
    )
    initial: Literal["circle", "ones"] = Field(
        "circle",
        description="The mask to begin with: hides the smallest `circle` in the middle that takes "
        "99 % of the probability away, or nothing (`ones`).",
    )
    step: float = Field(0.1, gt=0, description="Step length of Adam.")


class MeaningfulPerturbation(MaskOptimisation):
    """One mask, by Adam.

    With p the target's probability and the mask m, upsampled and blurred to M,

        p(M x + (1 - M) b) + ``sparsity`` sum |1 - m| + ``smoothness`` sum |grad m|^``tv_beta``

    where M is shifted anew in every step: an estimate of the mean over shifts. (Relative to
    the mask the authors shift the image.)
    """

    def __init__(self, tile: PerturbedTile, options: MeaningfulPerturbationOptions) -> None:
        background = background_of(tile, options.fill)
        super().__init__(tile, background, options.mask_px, options.iterations, options.blur_px)
        self._options = options

    def steps(self) -> Steps:
        options = self._options
        if options.initial == "circle":
            circles = _circles(self.masks)
            scored = yield _deleting(self._upsampled(circles))
            seen, *_, hidden = scored.values.tolist()
            enough = seen - scored.values >= _SUPPRESSED * (seen - hidden)
            self.masks = circles[enough.nonzero()[0]]
        masks = self.masks.clone().requires_grad_()
        adam = torch.optim.Adam([masks], lr=options.step)
        for number in range(self.count):
            with torch.enable_grad():
                shown = self._shifted(self._upsampled(masks), number)
                hidden = (1 - masks).abs().sum()
                rough = torch.stack(
                    [(step.abs() ** options.tv_beta).sum() for step in differences(masks)]
                ).sum()
                held = torch.stack([options.sparsity * hidden, options.smoothness * rough])
            scored = yield _deleting(shown.detach(), torch.ones(1))
            (masks.grad,) = torch.autograd.grad(
                [shown, held], masks, [scored.gradient, torch.ones_like(held)]
            )
            values = [*scored.values.tolist(), *held.tolist()]
            terms = dict(zip(("deletion", "sparsity", "smoothness"), values, strict=True))
            adam.step()
            with torch.no_grad():
                masks.clamp_(0, 1)
            self.finish_iteration(
                masks.detach().clone(), masks.grad, Iteration(terms, options.step, after=math.nan)
            )

    def _shifted(self, shown: torch.Tensor, number: int) -> torch.Tensor:
        generator = generator_of(self.tile.seed, number)
        y, x = torch.randint(self._options.jitter_px, (2,), generator=generator).tolist()
        rows, columns = (
            (torch.arange(side, device=shown.device) - by).clamp_min(0)
            for side, by in zip(shown.shape[1:], (y, x), strict=True)
        )
        return shown[:, rows][:, :, columns]


def _deleting(shown: torch.Tensor, weights: torch.Tensor | None = None) -> Mixtures:
    """One image of each mask."""
    count = len(shown)
    return Mixtures(
        masks=shown,
        which=torch.arange(count),
        shares=torch.ones(count),
        swapped=torch.zeros(count, dtype=torch.bool),
        weights=weights,
    )


def _circles(like: torch.Tensor) -> torch.Tensor:
    """(n, m, m) 0 within larger and larger circles: nowhere at first, everywhere at last."""
    cells = like.shape[-1]
    axis = (torch.arange(cells, device=like.device) + 0.5) / cells - 0.5
    distance = torch.hypot(axis[:, None], axis)
    radii = torch.linspace(0, 1, _CIRCLES, device=like.device) * math.sqrt(0.5)
    return (distance >= radii[:, None, None]).to(like)


MEANINGFUL_PERTURBATION = METHODS.register(
    MaskMethod(
        name="meaningful_perturbation",
        title="Meaningful perturbation: the smallest smooth mask that takes the probability away",
        positive="decides",
        negative="",
        options=MeaningfulPerturbationOptions,
        optimise=MeaningfulPerturbation,
    )
)
"""Fong & Vedaldi 2017; see `MeaningfulPerturbation`."""
