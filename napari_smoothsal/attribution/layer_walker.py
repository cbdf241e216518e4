"""One pass, forth and back, of each noise sample: the walks of `LayerMethod`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import torch

from napari_smoothsal.attribution.aggregation import Aggregation
from napari_smoothsal.attribution.base import AtLayer, Box, LayerMethod
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.reference import reference_of
from napari_smoothsal.attribution.rescale import Reference, rescaled
from napari_smoothsal.attribution.sample_images import SampleImages
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.attribution.walker import Row, Walker
from napari_smoothsal.denoise.filters import weighed
from napari_smoothsal.models.exact import exact
from napari_smoothsal.models.readout import Question

Attributions = dict[int, tuple[torch.Tensor, torch.Tensor | None]]
"""Attributions (n, C, h, w), and what they miss of the score (n,), by member."""


class LayerWalker(Walker[Attributions]):
    """Asks every target's gradient at all of its members' layers in one pass."""

    maps: Mapping[int, Aggregation]

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        super().__init__(batch, walk, members)
        self.maps = {i: Aggregation(self.plan(i).spec.aggregate, len(batch)) for i in members}
        self._samples = SampleImages(batch, walk)
        layers = [self.plan(i).spec.layer for i in members]
        units = [self.plan(i).target.unit for i in members]
        self._scored = {unit[0] for unit in units if unit is not None}
        self._layers = list(dict.fromkeys([*layers, *sorted(self._scored)]))
        self._reference: Reference | None = None
        if any(self._method(i).rescales for i in members):
            zeros = exact(torch.zeros(len(batch), device=batch.images.device))
            self.deltas = {i: zeros.clone() for i in members}
            self._reference = reference_of(batch, walk, self._layers, rescales=True)

    def run(self, rows: Sequence[Row]) -> Attributions:
        batch, walk = self.batch, self.walk
        network = batch.altered(walk)
        images = self._samples.images(rows)
        reference = self._reference
        if reference is not None:
            reference = reference.rows(torch.tensor([tile for tile, _ in rows]))
        with torch.enable_grad():
            with (
                batch.denoised(walk, network),
                weighed() if self._weighs else contextlib.nullcontext(),
                network.captured(self._layers, self._samples.disturbed(rows)) as activations,
                self._backward_rules(reference),
            ):
                output = network.output(images)
            found: Attributions = {}
            scored = (output, activations)
            if (begins := self._begins) is not None:
                units = {name: begins(activations[name]) for name in self._scored}
                scored = (begins(output), units)
            targets = list(dict.fromkeys(self.plan(i).target for i in self.members))
            for target in targets:
                question = self._samples.question(batch.questions[target], rows)
                scores = question.scores(*scored)
                asked = [i for i in self.members if self.plan(i).target == target]
                names = list(dict.fromkeys(self.plan(i).spec.layer for i in asked))
                gradients = torch.autograd.grad(
                    scores.sum(),
                    [activations[name] for name in names],
                    retain_graph=target != targets[-1],
                )
                by_name = dict(zip(names, gradients, strict=True))
                rise = None if reference is None else _rise(question, scores, reference)
                for i in asked:
                    name = self.plan(i).spec.layer
                    at = AtLayer(
                        activations[name].detach(),
                        by_name[name],
                        name,
                        None if reference is None else reference.activations[name],
                    )
                    found[i] = self._attribute(i, at, rise)
        return found

    def take_in(self, rows: Sequence[Row], found: Attributions) -> None:
        start = 0
        while start < len(rows):
            stop = start
            while stop < len(rows) and rows[stop][1] == rows[start][1]:
                stop += 1  # the same sample
            tiles = torch.tensor([tile for tile, _ in rows[start:stop]])
            jitter = self.walk.jitter
            shift = None if jitter is None else jitter.shift(rows[start][1])
            for i, (maps, missed) in found.items():
                # A map that is sure sees none of the samples that others of its walk still need.
                still = self.open[i][tiles]
                if not still.any():
                    continue
                chosen = maps[start:stop]
                gone = None if missed is None else missed[start:stop]
                if not still.all():
                    chosen = chosen[still.to(maps.device)]
                    gone = None if gone is None else gone[still.to(maps.device)]
                self.maps[i].add(chosen, tiles[still], shift)
                if gone is not None:
                    self.deltas[i][tiles[still].to(gone.device)] += exact(gone.abs())
            start = stop

    def _method(self, member: int) -> LayerMethod:
        method = self.plan(member).method
        assert isinstance(method, LayerMethod)
        return method

    def _backward_rules(
        self, reference: Reference | None
    ) -> contextlib.AbstractContextManager[object]:
        if reference is not None:
            return rescaled(reference)
        way = self.walk.way
        if way is None:
            return contextlib.nullcontext()
        assert isinstance(way.method, LayerMethod) and way.method.backward is not None
        return way.method.backward(way.options, self._box if "input" in self._layers else None)

    @property
    def _begins(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        way = self.walk.way
        return way.method.begins if way and isinstance(way.method, LayerMethod) else None

    @property
    def _weighs(self) -> bool:
        way = self.walk.way
        return way is not None and isinstance(way.method, LayerMethod) and way.method.weighs

    @property
    def _box(self) -> Box:
        network = self.batch.network
        pixel = torch.zeros(1, self.batch.images.shape[1], 1, 1)
        return Box(network.normalised(pixel), network.normalised(pixel + 1))

    @torch.no_grad()
    def _attribute(
        self, member: int, at: AtLayer, rise: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        attribute, options = self._method(member).attribute, self.plan(member).method_options
        on_the_tile = self._without_padding(member, at)
        maps = attribute(on_the_tile, options)
        missed = None
        if rise is not None:
            # What the padding contributes is part of the score.
            whole = maps if on_the_tile is at else attribute(at, options)
            missed = whole.flatten(1).sum(1, dtype=rise.dtype) - rise
        return self.wanted_channel(member, maps), missed

    def _without_padding(self, member: int, at: AtLayer) -> AtLayer:
        activation = self.without_padding(member, at.activation)
        if activation is at.activation:
            return at
        reference = at.reference
        return AtLayer(
            activation,
            self.without_padding(member, at.gradient),
            at.layer,
            None if reference is None else self.without_padding(member, reference),
        )


@torch.no_grad()
def _rise(question: Question, scores: torch.Tensor, reference: Reference) -> torch.Tensor:
    """(n,): scores less those of the baselines."""
    return scores.detach() - reference.scores(question)
