"""Batch: the tiles of one explanation, as all of its walks see them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from napari_smoothsal.attribution.jitter import with_margin
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.attribution.noise import Place, place_seed
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.denoise import denoised
from napari_smoothsal.models import Decision
from napari_smoothsal.models.readout import Question
from napari_smoothsal.models.targets import Target

if TYPE_CHECKING:
    from napari_smoothsal.attribution.explainer import Explainer


class Batch:
    """Tiles, made ready for the network, what it decides of them, and what is asked.

    Parameters
    ----------
    explainer
        Its plans, networks and limits.
    network
        That takes the passes.
    images, places, baselines, margin
        As given; see `Explainer.begin`.

    Attributes
    ----------
    given
        Images, places, baselines and margin as they were given.
    images
        (B, C, H, W) normalised, without margin.
    wide_images
        The same with the margin that jitter needs.
    decision
        Of the model, without noise.
    questions
        What each target asks about the tiles.
    """

    def __init__(
        self,
        explainer: Explainer,
        network: Network,
        images: torch.Tensor,
        places: Sequence[Place],
        baselines: torch.Tensor | None,
        margin: int,
    ) -> None:
        self.explainer = explainer
        self.network = network
        self.given = (images, places, baselines, margin)
        self.places = places
        around = network.normalised(images)
        self.images = with_margin(around, margin, 0)
        self.wide_images = with_margin(around, margin, explainer.margin)
        self.decision = self.decide()
        targets = dict.fromkeys(plan.target for plan in explainer.plans)
        readout = explainer.model.readout
        self.questions: dict[Target, Question] = {
            target: readout.ask(self.decision, target) for target in targets
        }
        self.asked = {t: q.explained_px.cpu() > 0 for t, q in self.questions.items()}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> int:
        """Of a tile."""
        return self.images[0, 0].numel()

    def colours(self) -> torch.Tensor:
        """(B, C, H, W) the tiles themselves, 0..1, without margin."""
        images, _, _, margin = self.given
        return self.network.unit_range(with_margin(images, margin, 0))

    def perturbed_tiles(self, seed: int) -> list[PerturbedTile]:
        """The tiles, for methods that change them; ``seed`` is the spec's."""
        return [
            PerturbedTile(
                image=image,
                colours=colours,
                normalised=self.network.normalised,
                mpp=self.explainer.model.card.input_mpp,
                seed=place_seed(seed, 0, place),
            )
            for image, colours, place in zip(self.images, self.colours(), self.places, strict=True)
        ]

    def altered(self, walk: Walk) -> Network:
        """The network of a walk's passes."""
        return self.explainer.altered(walk, self.network)

    def denoised(self, walk: Walk, network: Network) -> contextlib.AbstractContextManager[None]:
        """The walk's denoising, applied to a network while the context lasts."""
        convolutions = self.explainer.convolutions[walk]
        return denoised(network.module, walk.denoising, convolutions, walk.options)

    def decide(self, walk: Walk | None = None) -> Decision:
        """One noise-free pass, of the wider format where the samples take a narrow one.

        Of the model, or of what a walk's denoising makes of it.
        """
        explainer = self.explainer
        network = explainer.wide_network
        if walk is not None:
            network = explainer.altered(walk, network)

        def run(rows: Sequence[int]) -> torch.Tensor:
            return network.output(self.images[rows[0] : rows[-1] + 1])

        def whole() -> torch.Tensor:
            parts = explainer.rows.parts(range(len(self.images)), run)
            return torch.cat([output for _, output in parts])

        altered = contextlib.nullcontext() if walk is None else self.denoised(walk, network)
        with torch.no_grad(), altered:
            if walk is None:
                images, _, _, margin = self.given
                device = explainer.wide_network.device
                output = explainer.networks.output_of(images, margin, device, whole)
            else:
                output = whole()
            return explainer.model.readout.decide(output)
