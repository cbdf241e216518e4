"""Tiles and scores for methods that change the image, without a slide or an engine."""

from __future__ import annotations

from collections.abc import Callable

import torch

from napari_smoothsal.attribution.base import METHODS, PerturbationMethod, options_of
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.models import Model

Score = Callable[[torch.Tensor], torch.Tensor]


def perturbed(colours: torch.Tensor, seed: int = 0, mean: float = 0.0) -> PerturbedTile:
    """A tile (C, H, W), 0..1, of a network that wants ``mean`` to be zero."""
    return PerturbedTile(colours - mean, colours, lambda images: images - mean, 0.5, seed)


def tile_of(model: Model, side: int, seed: int = 0) -> PerturbedTile:
    """Something with structure, as the model sees it, in fp64."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, 3, side // 8, side // 8, generator=generator).double()
    colours = torch.nn.functional.interpolate(rough, (side, side), mode="bicubic").clamp(0, 1)[0]
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    return PerturbedTile(
        ((colours - mean) / std)[0], colours, lambda x: (x - mean) / std, 0.5, seed
    )


def score_of(model: Model, index: int = -1) -> Score:
    """A class's score in fp64; summed over all pixels, of a model that decides per pixel."""
    network = model.module.double()

    @torch.no_grad()
    def score(images: torch.Tensor) -> torch.Tensor:
        return network(images)[:, index].reshape(len(images), -1).sum(1)

    return score


def perturbation_of(name: str, tile: PerturbedTile, **options: object) -> Perturbation:
    method = METHODS[name]
    assert isinstance(method, PerturbationMethod)
    return method.perturb(tile, options_of(method, options))


def scored(
    perturbation: Perturbation, score: Score, batch: int = 16, upto: int | None = None
) -> Perturbation:
    """Take in the scores, ``batch`` at a time."""
    count = perturbation.count if upto is None else upto
    for first in range(0, count, batch):
        which = range(first, min(first + batch, count))
        perturbation.add(which, score(perturbation.images(which)))
    return perturbation


def masks_of(name: str, tile: PerturbedTile, **options: object) -> torch.Tensor:
    """(count, H, W) how much of the tile each of a method's images lets through."""
    blank = PerturbedTile(
        torch.ones_like(tile.image), tile.colours, torch.zeros_like, tile.mpp, tile.seed
    )
    perturbation = perturbation_of(name, blank, **options)
    return perturbation.images(range(perturbation.count))[:, 0]
