"""Explanation: the maps of one batch while they grow, noise sample by noise sample."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from napari_smoothsal.attribution.aggregation import Aggregation
from napari_smoothsal.attribution.base import AtLayer, LayerMethod
from napari_smoothsal.attribution.baselines import CUSTOM, baseline_of
from napari_smoothsal.attribution.batch_maps import BatchMaps, SpecMaps
from napari_smoothsal.attribution.capture import captured
from napari_smoothsal.attribution.jitter import Jitter, with_margin
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.attribution.noise import Place, add_noise
from napari_smoothsal.attribution.rescale import Reference, recorded, rescaled
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.specs import MOST_AUTO_SAMPLES
from napari_smoothsal.denoise import Denoising, denoised
from napari_smoothsal.models import Decision
from napari_smoothsal.models.exact import exact
from napari_smoothsal.models.readout import Question
from napari_smoothsal.models.targets import Target

if TYPE_CHECKING:
    from napari_smoothsal.attribution.explainer import Explainer

_ROUND = 4
"""With ``samples="auto"`` the error is looked at after every round of so many samples."""

Row = tuple[int, int]
"""A tile of the batch and a noise sample."""


@dataclass(frozen=True)
class Walk:
    """What specs have in common that share every forward pass."""

    denoising: Denoising
    options: Settings
    changed: tuple[str, ...]
    """Convolutions whose forward pass is another one; () where it stays the model's."""
    samples: int | Literal["auto"]
    sigma: float
    seed: int
    disturbed_layer: str | None
    """Layer that the noise is added at; None: the input."""
    baseline: str | None
    """What gradients are rescaled against; None: they are not."""
    jitter: Jitter | None
    """How the samples are shifted; None: they are not."""


@dataclass
class _Progress:
    """How far one walk has come."""

    walk: Walk
    members: list[int]
    drawn: int = 0
    open_tiles: list[int] = field(default_factory=list)
    reference: Reference | None = None

    @property
    def most(self) -> int:
        samples = self.walk.samples
        return MOST_AUTO_SAMPLES if samples == "auto" else max(samples, 1)


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
        self._given = (images, places, baselines, margin)
        self._places = places
        with explainer.device.numerics():
            around = self.network.normalised(images)
            images = with_margin(images, margin, 0)
            self._images = with_margin(around, margin, 0)
            self._wide_images = with_margin(around, margin, explainer.margin)
            self._decision = self._decide()
            self._decisions = {
                walk: self._decide(walk) if walk.denoising.changes_network else self._decision
                for walk in explainer.walks
            }
            questions = {t: explainer.model.readout.ask(self._decision, t) for t in self._targets}
            self._questions: dict[Target, Question] = questions
            self._asked = {t: q.explained_px.cpu() > 0 for t, q in questions.items()}
            count = len(images)
            self._aggregates = [Aggregation(plan.spec.aggregate, count) for plan in explainer.plans]
            self._open = [torch.ones(count, dtype=torch.bool) for _ in explainer.plans]
            zeros = exact(torch.zeros(count, device=explainer.device.device))
            self._deltas = [zeros.clone() for _ in explainer.plans]
            self._walks = [
                _Progress(walk, members, open_tiles=list(range(count)))
                for walk, members in explainer.walks.items()
            ]
            for progress in self._walks:
                if progress.walk.baseline is not None:
                    made = self._baselines(progress.walk.baseline, images, baselines)
                    progress.reference = self._refer(progress, made)

    def again(self, network: Network) -> Explanation:
        """The same, from its beginning, with another network."""
        return Explanation(self._explainer, network, *self._given)

    @property
    def _targets(self) -> list[Target]:
        return list(dict.fromkeys(plan.target for plan in self._explainer.plans))

    @property
    def finished(self) -> bool:
        """Whether no sample is left to draw."""
        return not any(progress.open_tiles for progress in self._walks)

    def step(self, most: int | None = None) -> None:
        """Draw the next noise samples of every walk: as many as fit into one pass.

        Parameters
        ----------
        most
            No more samples than this of each tile.
        """
        with self._explainer.device.numerics():
            for progress in self._walks:
                if progress.open_tiles:
                    self._advance(progress, most)

    @property
    def decision(self) -> Decision:
        """What the model decides, without noise, on the CPU."""
        return self._decision.cpu()

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
        found = [aggregate.result().float().cpu() for aggregate in self._aggregates]
        specs = []
        for index, plan in enumerate(explainer.plans[: len(explainer.specs)]):
            aggregate, question = self._aggregates[index], self._questions[plan.target]
            samples = aggregate.samples.clone()
            maps, smooth = found[index], plan.denoising.smooth
            if smooth is not None:
                like = None if plan.matched is None else found[plan.matched]
                maps = smooth(maps, plan.denoising_options, like)
            delta = (
                self._deltas[index].cpu() / samples
                if isinstance(plan.method, LayerMethod) and plan.method.rescales
                else torch.full_like(samples, torch.nan, dtype=torch.float64)
            )
            specs.append(
                SpecMaps(
                    maps=maps,
                    target=question.classes[:, 0].cpu().clone(),
                    standard_error=aggregate.relative_standard_error().float(),
                    samples=samples,
                    convergence_delta=delta.float(),
                    explained_px=question.explained_px.cpu(),
                    logits=explained[index].logits,
                    probabilities=explained[index].probabilities,
                )
            )
        return BatchMaps(specs=specs, decision=self.decision)

    def _decide(self, walk: Walk | None = None) -> Decision:
        """One noise-free pass, of the wider format where the samples take a narrow one.

        Of the model, or of what a walk's denoising makes of it.
        """
        network = self._explainer.wide_network
        if walk is not None:
            network = self._explainer.altered(walk, network)

        def run(rows: Sequence[int]) -> torch.Tensor:
            return network.output(self._images[rows[0] : rows[-1] + 1])

        def whole() -> torch.Tensor:
            parts = self._explainer.rows.parts(range(len(self._images)), run)
            return torch.cat([output for _, output in parts])

        altered = contextlib.nullcontext() if walk is None else self._denoised(walk, network)
        with torch.no_grad(), altered:
            if walk is None:
                images, _, _, margin = self._given
                device = self._explainer.wide_network.device
                output = self._explainer.networks.output_of(images, margin, device, whole)
            else:
                output = whole()
            return self._explainer.model.readout.decide(output)

    def _baselines(
        self, name: str, images: torch.Tensor, given: torch.Tensor | None
    ) -> torch.Tensor:
        """(n, C, H, W) normalised; n is 1 or the number of tiles."""
        if name == CUSTOM:
            if given is None:
                raise SettingError(
                    "baseline = 'custom' needs the images to compare with: "
                    "explain_tiles(..., baselines=images)"
                )
            return self.network.normalised(given)
        tiles = self.network.unit_range(images)
        return self.network.normalised(baseline_of(name).make(tiles, self.network.mean))

    def _refer(self, progress: _Progress, baselines: torch.Tensor) -> Reference:
        """What the network makes of the baselines, remembered where it is the same for all."""
        key = (progress.walk, self.network, tuple(baselines.shape[2:]))
        name = progress.walk.baseline
        shared = name is not None and name != CUSTOM and baseline_of(name).shared
        known = self._explainer.references.get(key) if shared else None
        if known is not None:
            return known
        reference = Reference()
        network = self._explainer.altered(progress.walk, self.network)
        with torch.enable_grad(), self._denoised(progress.walk, network), recorded(reference):
            layers = self._layers(progress)
            with captured(network.module, layers) as activations:
                reference.output = network.output(baselines).detach()
        reference.activations = {name: value.detach() for name, value in activations.items()}
        if shared:
            self._explainer.references[key] = reference
        return reference

    def _denoised(self, walk: Walk, network: Network) -> contextlib.AbstractContextManager[None]:
        convolutions = self._explainer.convolutions[walk]
        return denoised(network.module, walk.denoising, convolutions, walk.options)

    def _layers(self, progress: _Progress) -> list[str]:
        """Layers of the walk's specs, and those of the hidden units that they explain."""
        explainer = self._explainer
        layers = [explainer.plans[i].spec.layer for i in progress.members]
        units = [explainer.plans[i].target.unit for i in progress.members]
        return list(dict.fromkeys([*layers, *(unit[0] for unit in units if unit is not None)]))

    def _advance(self, progress: _Progress, most: int | None) -> None:
        rows = self._explainer.rows
        left = progress.most - progress.drawn
        count = max(1, min(rows.limit // len(progress.open_tiles), left))
        # As even passes as there are anyway: a last one of few rows is slower per row.
        count = min(math.ceil(left / math.ceil(left / count)), most or left)
        if progress.walk.samples == "auto":
            count = min(count, _ROUND - progress.drawn % _ROUND)
        samples = range(progress.drawn, progress.drawn + count)
        work: list[Row] = [(tile, sample) for sample in samples for tile in progress.open_tiles]
        for part, found in rows.parts(work, lambda part: self._pass(progress, part)):
            self._add(part, found, progress.walk.jitter)
        progress.drawn += count
        self._close(progress)

    def _close(self, progress: _Progress) -> None:
        """Strike off the tiles that have seen enough."""
        if progress.drawn >= progress.most:
            progress.open_tiles = []
            return
        for i in progress.members:
            # Where there is nothing to explain, one pass gives the zeros their shape.
            self._open[i] &= self._asked[self._explainer.plans[i].target]
            if progress.walk.samples == "auto" and progress.drawn % _ROUND == 0:
                error = self._aggregates[i].relative_standard_error()
                self._open[i] &= ~(error <= self._explainer.plans[i].spec.max_standard_error)
        still = torch.stack([self._open[i] for i in progress.members]).any(0)
        progress.open_tiles = [tile for tile in progress.open_tiles if still[tile]]

    def _pass(
        self, progress: _Progress, rows: Sequence[Row]
    ) -> dict[int, tuple[torch.Tensor, torch.Tensor | None]]:
        """Attributions (n, C, h, w), and what they miss of the score (n,), by spec."""
        explainer, walk = self._explainer, progress.walk
        tiles = torch.tensor([tile for tile, _ in rows])
        network, layers = explainer.altered(walk, self.network), self._layers(progress)
        images = self._noisy(self._windows(rows, walk), rows, walk, at_layer=None)
        reference = None if progress.reference is None else progress.reference.rows(tiles)
        disturbed = {}
        if walk.disturbed_layer is not None:
            stride = explainer.model.layer(walk.disturbed_layer).stride
            disturbed[walk.disturbed_layer] = lambda output: self._noisy(
                output, rows, walk, at_layer=stride
            )
        rescaling = contextlib.nullcontext() if reference is None else rescaled(reference)
        with torch.enable_grad():
            with (
                self._denoised(walk, network),
                captured(network.module, layers, disturbed) as activations,
                rescaling,
            ):
                output = network.output(images)
            found: dict[int, tuple[torch.Tensor, torch.Tensor | None]] = {}
            targets = list(dict.fromkeys(explainer.plans[i].target for i in progress.members))
            for target in targets:
                question = self._shifted(self._questions[target].rows(tiles), rows, walk)
                scores = question.scores(output, activations)
                asked = [i for i in progress.members if explainer.plans[i].target == target]
                names = list(dict.fromkeys(explainer.plans[i].spec.layer for i in asked))
                gradients = torch.autograd.grad(
                    scores.sum(),
                    [activations[name] for name in names],
                    retain_graph=target != targets[-1],
                )
                by_name = dict(zip(names, gradients, strict=True))
                rise = None if reference is None else self._rise(question, scores, reference)
                for i in asked:
                    name = explainer.plans[i].spec.layer
                    found[i] = self._attribute(
                        i,
                        AtLayer(
                            activations[name].detach(),
                            by_name[name],
                            None if reference is None else reference.activations[name],
                        ),
                        rise,
                    )
        return found

    @torch.no_grad()
    def _attribute(
        self, index: int, at: AtLayer, rise: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        explainer = self._explainer
        plan = explainer.plans[index]
        assert isinstance(plan.method, LayerMethod)
        maps = plan.method.attribute(at, plan.method_options)
        missed = None
        if rise is not None:
            missed = maps.flatten(1).sum(1, dtype=rise.dtype) - rise
        if plan.spec.channel is not None:
            maps = maps[:, plan.spec.channel, None]
        height, width = self._images.shape[2:]
        return self.network.on_the_tile(maps, plan.layer, (height, width)), missed

    @torch.no_grad()
    def _rise(self, question: Question, scores: torch.Tensor, reference: Reference) -> torch.Tensor:
        """(n,): scores less those of the baselines."""
        count = len(scores)
        output = reference.output.expand(count, -1, -1, -1)
        activations = {
            name: value.expand(count, -1, -1, -1) for name, value in reference.activations.items()
        }
        return scores.detach() - question.scores(output, activations)

    def _add(
        self,
        rows: Sequence[Row],
        found: dict[int, tuple[torch.Tensor, torch.Tensor | None]],
        jitter: Jitter | None,
    ) -> None:
        start = 0
        while start < len(rows):
            stop = start
            while stop < len(rows) and rows[stop][1] == rows[start][1]:
                stop += 1  # the same sample
            tiles = torch.tensor([tile for tile, _ in rows[start:stop]])
            shift = None if jitter is None else jitter.shift(rows[start][1])
            for i, (maps, missed) in found.items():
                # A map that is sure sees none of the samples that others of its walk still need.
                still = self._open[i][tiles]
                if not still.any():
                    continue
                some = slice(start, stop)
                chosen, gone = maps[some], None if missed is None else missed[some]
                if not still.all():
                    chosen = chosen[still.to(maps.device)]
                    gone = None if gone is None else gone[still.to(maps.device)]
                self._aggregates[i].add(chosen, tiles[still], shift)
                if gone is not None:
                    self._deltas[i][tiles[still].to(gone.device)] += exact(gone.abs())
            start = stop

    def _windows(self, rows: Sequence[Row], walk: Walk) -> Sequence[torch.Tensor] | torch.Tensor:
        """Each row's normalised image, shifted where the walk jitters."""
        tiles = tuple(tile for tile, _ in rows)
        if walk.jitter is None:
            if tiles == tuple(range(len(self._images))):
                return self._images
            return [self._images[tile] for tile in tiles]
        margin, (height, width) = self._explainer.margin, self._images.shape[2:]
        shifts = [walk.jitter.shift_px(sample) for _, sample in rows]
        return [
            self._wide_images[tile, :, margin + y : margin + y + height, margin + x :][..., :width]
            for tile, (y, x) in zip(tiles, shifts, strict=True)
        ]

    def _shifted(self, question: Question, rows: Sequence[Row], walk: Walk) -> Question:
        """The question about the windows that jitter shows."""
        output = self._explainer.model.output
        if walk.jitter is None or output is None:
            return question
        stride = output.stride
        shifts = [walk.jitter.shift_px(sample) for _, sample in rows]
        return question.shifted([(round(y / stride[0]), round(x / stride[1])) for y, x in shifts])

    def _noisy(
        self,
        values: Sequence[torch.Tensor] | torch.Tensor,
        rows: Sequence[Row],
        walk: Walk,
        at_layer: tuple[float, float] | None,
    ) -> torch.Tensor:
        """One value per row, with noise where the walk has it at this place.

        ``at_layer`` is the stride of the layer that they are the output of.
        """
        unmoved = walk.sigma == 0 or walk.samples == 0
        if unmoved or (walk.disturbed_layer is None) != (at_layer is None):
            return values if isinstance(values, torch.Tensor) else torch.stack(list(values))
        shared = self._explainer.model.shares_noise
        places = [self._place(row, walk) for row in rows]
        samples = [sample for _, sample in rows]
        sigma: float | torch.Tensor = walk.sigma
        if at_layer is not None:
            assert isinstance(values, torch.Tensor)
            sigma = walk.sigma * values.flatten(1).std(1)
            if shared:
                places = [_on_layer(place, at_layer) for place in places]
        return add_noise(values, places, sigma, walk.seed, samples, shared=shared)

    def _place(self, row: Row, walk: Walk) -> Place:
        """What the noise of a row derives from: of tiles on a grid, its window's origin."""
        tile, sample = row
        place = self._places[tile]
        if walk.jitter is None or len(place) != 2 or not self._explainer.model.shares_noise:
            return place
        y, x = walk.jitter.shift_px(sample)
        return (place[0] + y, place[1] + x)


def _on_layer(place: Place, stride: tuple[float, float]) -> Place:
    if len(place) != 2:
        return place
    return (round(place[0] / stride[0]), round(place[1] / stride[1]))
