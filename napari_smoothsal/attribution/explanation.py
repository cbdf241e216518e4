"""Explanation: the maps of one batch while they grow, noise sample by noise sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from napari_smoothsal.attribution.base import MaskMethod, PathMethod, PerturbationMethod
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.batch_maps import BatchMaps, SpecMaps
from napari_smoothsal.attribution.layer_walker import LayerWalker
from napari_smoothsal.attribution.mask_walker import MaskWalker
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.attribution.noise import Place
from napari_smoothsal.attribution.path_walker import path_walker
from napari_smoothsal.attribution.perturbation_walker import PerturbationWalker
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.attribution.walker import Walker
from napari_smoothsal.models import Decision

if TYPE_CHECKING:
    from napari_smoothsal.attribution.explainer import Explainer


class Explanation:
    """The maps of one batch, refined by every `step`.

    Made by `Explainer.begin`, which says what its arguments are.

    Attributes
    ----------
    network
        That takes the noise samples.
    """

    def __init__(
        self,
        explainer: Explainer,
        network: Network,
        images: torch.Tensor,
        places: Sequence[Place],
        baselines: torch.Tensor | None = None,
        margin: int = 0,
    ) -> None:
        self.network = network
        self._explainer = explainer
        with explainer.device.numerics():
            self._batch = Batch(explainer, network, images, places, baselines, margin)
            self._walkers = [
                _walker(self._batch, walk, members) for walk, members in explainer.walks.items()
            ]
            self._decisions = {
                walk: self._batch.decide(walk)
                if walk.denoising.changes_network
                else self._batch.decision
                for walk in explainer.walks
            }

    def again(self, network: Network) -> Explanation:
        """The same, from its beginning, with another network."""
        return Explanation(self._explainer, network, *self._batch.given)

    @property
    def finished(self) -> bool:
        """Whether no sample is left to draw."""
        return not any(walker.open_tiles for walker in self._walkers)

    @property
    def share(self) -> float:
        """How much of the work is done, 0..1; of ``samples="auto"``, of the most that it may be."""
        walkers = self._walkers
        done = sum(w.done if w.open_tiles else w.turns for w in walkers)
        return done / max(1, sum(w.turns for w in walkers))

    def step(self, most: int | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Draw the next noise samples of every walk: as many as fit into one pass.

        Parameters
        ----------
        most
            No more samples than this of each tile.
        stop
            Asked before every pass.

        Raises
        ------
        Stopped
            Once ``stop`` answers True; what was not taken in is lost.
        """
        with self._explainer.device.numerics():
            for walker in self._walkers:
                if walker.open_tiles:
                    walker.advance(most, stop)

    @property
    def decision(self) -> Decision:
        """What the model decides, without noise, on the CPU."""
        return self._batch.decision.cpu()

    @property
    def explained(self) -> list[Decision]:
        """What the network that each spec explains decides, without noise, on the CPU."""
        by_walk = {walk: decision.cpu() for walk, decision in self._decisions.items()}
        found = {i: by_walk[w] for w, members in self._explainer.walks.items() for i in members}
        return [found[i] for i in range(len(self._explainer.specs))]

    def result(self) -> BatchMaps:
        """Maps of the samples drawn so far."""
        explainer = self._explainer
        explained = self.explained
        by_member = {i: walker for walker in self._walkers for i in walker.members}
        found = {i: by_member[i].maps[i].result().float().cpu() for i in by_member}
        specs = []
        for index, plan in enumerate(explainer.plans[: len(explainer.specs)]):
            walker, question = by_member[index], self._batch.questions[plan.target]
            so_far = walker.maps[index]
            samples = so_far.samples.clone()
            explained_px = question.explained_px.cpu()
            if not plan.method.of_the_target:
                explained_px = torch.full_like(explained_px, self._batch.pixels)
            maps, smooth = found[index], plan.denoising.smooth
            if smooth is not None:
                like = None if plan.matched is None else found[plan.matched]
                maps = smooth(maps, plan.denoising_options, like)
            specs.append(
                SpecMaps(
                    maps=maps,
                    target=question.classes[:, 0].cpu().clone(),
                    standard_error=so_far.relative_standard_error().float(),
                    samples=samples,
                    convergence_delta=walker.convergence_delta(index).float(),
                    explained_px=explained_px,
                    logits=explained[index].logits,
                    probabilities=explained[index].probabilities,
                )
            )
        return BatchMaps(specs=specs, decision=self.decision)


def _walker(batch: Batch, walk: Walk, members: Sequence[int]) -> Walker[Any]:
    method = None if walk.way is None else walk.way.method
    if isinstance(method, PathMethod):
        return path_walker(batch, walk, members)
    if isinstance(method, PerturbationMethod):
        return PerturbationWalker(batch, walk, members)
    if isinstance(method, MaskMethod):
        return MaskWalker(batch, walk, members)
    return LayerWalker(batch, walk, members)
