"""Gradients on the ways from baselines to each noise sample: the walks of `PathMethod`.

What lies below the layer is run once for a sample, what lies above it once for every step, if the
layer cuts the network in two; else all of it runs for every step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch

from napari_smoothsal.attribution.aggregation import Aggregation
from napari_smoothsal.attribution.base import PathMethod, Steps
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.attribution.reference import baseline_images, reference_of
from napari_smoothsal.attribution.rescale import Reference
from napari_smoothsal.attribution.sample_images import Sample, SampleImages
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.attribution.walker import Row, Walker
from napari_smoothsal.models.exact import exact
from napari_smoothsal.models.targets import Target

ByTarget = list[torch.Tensor]
"""By target, one row for each step."""


class PathWalker(Walker[ByTarget]):
    """Adds up, step by step, the gradients of its members' one layer."""

    maps: Mapping[int, Aggregation]

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        super().__init__(batch, walk, members)
        assert walk.way is not None and walk.way.layer is not None
        assert isinstance(walk.way.method, PathMethod)
        self._method, self._options = walk.way.method, walk.way.options
        self._layer = walk.way.layer
        self.per_sample = self._method.count(self._options)
        self.maps = {i: Aggregation(self.plan(i).spec.aggregate, len(batch)) for i in members}
        zeros = exact(torch.zeros(len(batch), device=batch.images.device))
        self.deltas = {i: zeros.clone() for i in members}
        self._targets = list(dict.fromkeys(self.plan(i).target for i in members))
        units = [t.unit[0] for t in self._targets if t.unit is not None]
        self._layers = list(dict.fromkeys([self._layer, *units]))
        self._samples = SampleImages(batch, walk)
        self._reference: Reference = reference_of(batch, walk, self._layers, rescales=False)
        self._steps: dict[Sample, Steps] = {}
        self._sums: dict[Sample, ByTarget] = {}
        self.scores: dict[Sample, list[float]] = {}

    def sample_of(self, row: Row) -> Sample:
        """Which sample a row belongs to."""
        return (row[0], row[1] // self.per_sample)

    def step_of(self, row: Row) -> int:
        """How many gradients of its sample come before it."""
        return row[1] % self.per_sample

    def steps_of(self, sample: Sample) -> Steps:
        """Where a sample's gradients are taken: a function of its place and number."""
        if sample not in self._steps:
            seed = place_seed(self.walk.seed, sample[1], self._samples.place(sample))
            self._steps[sample] = self._method.steps(
                self._options, seed, len(self._reference.output)
            )
        return self._steps[sample]

    def baseline_of(self, row: Row) -> int:
        """Which of the reference's rows the way of a row begins at."""
        if self._method.pool(self._options):
            return int(self.steps_of(self.sample_of(row)).baselines[self.step_of(row)])
        return row[0] if len(self._reference.output) > 1 else 0

    def shares_of(self, rows: Sequence[Row], like: torch.Tensor) -> torch.Tensor:
        """(n, 1, 1, 1) of the way that each row has come."""
        shares = [float(self.steps_of(self.sample_of(r)).shares[self.step_of(r)]) for r in rows]
        return torch.tensor(shares, dtype=like.dtype, device=like.device)[:, None, None, None]

    @torch.no_grad()
    def take_in(self, rows: Sequence[Row], found: ByTarget) -> None:
        for sample in dict.fromkeys(map(self.sample_of, rows)):
            mine = [n for n, row in enumerate(rows) if self.sample_of(row) == sample]
            parts = [
                self.added_up([rows[n] for n in mine], values[mine], target)
                for target, values in enumerate(found)
            ]
            sums = self._sums.get(sample)
            self._sums[sample] = (
                parts if sums is None else [s + p for s, p in zip(sums, parts, strict=True)]
            )
        for row in rows:
            if self.step_of(row) == self.per_sample - 1:
                self._finish(self.sample_of(row))

    @abstractmethod
    def added_up(self, rows: Sequence[Row], values: torch.Tensor, target: int) -> torch.Tensor:
        """(C, h, w): what was found of consecutive steps of one sample adds to its map."""

    def rise(self, sample: Sample, target: int) -> float:
        """The score of the sample less that of its baselines, by the weights of the steps."""
        question = self.batch.questions[self._targets[target]]
        count = self.per_sample
        turns = range(sample[1] * count, (sample[1] + 1) * count)
        starts = self._reference.rows(
            torch.tensor([self.baseline_of((sample[0], turn)) for turn in turns])
        )
        asked = self._samples.question(question, [sample] * count)
        weights = self.steps_of(sample).weights
        before = starts.scores(asked).double().cpu() @ weights.double()
        return self.scores[sample][target] - float(before)

    @abstractmethod
    def forget(self, sample: Sample) -> None:
        """Let go of what was remembered of a sample that is done."""

    def _finish(self, sample: Sample) -> None:
        tile, number = sample
        sums, jitter = self._sums.pop(sample), self.walk.jitter
        shift = None if jitter is None else jitter.shift(number)
        for i in self.members:
            if not self.open[i][tile]:
                continue
            target = self._targets.index(self.plan(i).target)
            total = sums[target][None]
            self.maps[i].add(self.on_the_tile(i, total), torch.tensor([tile]), shift)
            missed = exact(total).sum() - self.rise(sample, target)
            self.deltas[i][tile] += missed.abs()
        del self._steps[sample], self.scores[sample]
        self.forget(sample)


class LayerPathWalker(PathWalker):
    """Through outputs of the layer, on straight ways from the baseline's to the sample's."""

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        super().__init__(batch, walk, members)
        self._cut = batch.altered(walk).is_cut_by(self._layer)
        self._ends: dict[Sample, torch.Tensor] = {}

    def run(self, rows: Sequence[Row]) -> ByTarget:
        self._go_to_the_ends(rows)
        batch, walk = self.batch, self.walk
        network = batch.altered(walk)
        samples = [self.sample_of(row) for row in rows]
        ends = torch.stack([self._ends[sample] for sample in samples])
        starts = self._starts(rows)
        points = torch.lerp(starts, ends, self.shares_of(rows, ends))
        # Of a network that the layer cuts in two, one image carries all rows up to it.
        images = self._samples.images(samples[:1] if self._cut else samples)
        on_the_way = {self._layer: lambda _output: points}
        with torch.enable_grad():
            with (
                batch.denoised(walk, network),
                network.captured(self._layers, on_the_way) as activations,
            ):
                output = network.output(images, rows=len(rows))
            found = []
            for target in self._targets:
                question = self._samples.question(batch.questions[target], samples)
                (gradient,) = torch.autograd.grad(
                    question.scores(output, activations).sum(),
                    activations[self._layer],
                    retain_graph=target != self._targets[-1],
                )
                found.append((ends - starts) * gradient)
        return found

    def added_up(self, rows: Sequence[Row], values: torch.Tensor, _target: int) -> torch.Tensor:
        steps = self.steps_of(self.sample_of(rows[0]))
        weights = steps.weights[[self.step_of(row) for row in rows]]
        wide = torch.promote_types(values.dtype, torch.float32)
        return torch.einsum("n,nchw->chw", weights.to(values.device, wide), values.to(wide))

    def forget(self, sample: Sample) -> None:
        del self._ends[sample]

    def _starts(self, rows: Sequence[Row]) -> torch.Tensor:
        chosen = torch.tensor([self.baseline_of(row) for row in rows])
        starts = self._reference.activations[self._layer]
        return starts[chosen.to(starts.device)]

    @torch.no_grad()
    def _go_to_the_ends(self, rows: Sequence[Row]) -> None:
        """What the layer makes of samples that are new."""
        new = [s for s in dict.fromkeys(map(self.sample_of, rows)) if s not in self._ends]
        if not new:
            return
        batch, walk = self.batch, self.walk
        network = batch.altered(walk)
        disturbed = self._samples.disturbed(new)
        with (
            batch.denoised(walk, network),
            network.captured(self._layers, disturbed) as activations,
        ):
            output = network.output(self._samples.images(new))
        scores = []
        for target in self._targets:
            question = self._samples.question(batch.questions[target], new)
            scores.append(question.scores(output, activations).tolist())
        for n, sample in enumerate(new):
            self._ends[sample] = activations[self._layer][n].detach()
            self.scores[sample] = [of_target[n] for of_target in scores]


class ImagePathWalker(PathWalker):
    """Through images, looking at what the layer makes of them (conductance)."""

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        super().__init__(batch, walk, members)
        assert walk.baseline is not None
        self._baselines = baseline_images(batch, walk.baseline)
        self._before: dict[tuple[Sample, int], torch.Tensor] = {}

    def run(self, rows: Sequence[Row]) -> ByTarget:
        batch, walk = self.batch, self.walk
        network = batch.altered(walk)
        samples = [self.sample_of(row) for row in rows]
        ends = self._samples.images(samples)
        starts = self._baselines[[self.baseline_of(row) for row in rows]]
        disturbed = self._samples.disturbed(samples)
        with torch.enable_grad():
            with (
                batch.denoised(walk, network),
                network.captured(self._layers, disturbed) as activations,
            ):
                output = network.output(torch.lerp(starts, ends, self.shares_of(rows, ends)))
            activation, found = activations[self._layer], []
            for target in self._targets:
                question = self._samples.question(batch.questions[target], samples)
                scores = question.scores(output, activations)
                (gradient,) = torch.autograd.grad(
                    scores.sum(), activation, retain_graph=target != self._targets[-1]
                )
                found.append(torch.stack([activation.detach(), gradient], dim=1))
                self._remember(rows, scores.tolist(), target)
        return found

    def added_up(self, rows: Sequence[Row], values: torch.Tensor, target: int) -> torch.Tensor:
        key = (self.sample_of(rows[0]), target)
        if key in self._before:
            values = torch.cat([self._before[key], values])
        self._before[key] = values[-1:].clone()
        activation, gradient = values.to(torch.promote_types(values.dtype, torch.float32)).unbind(1)
        # The trapezoid rule: what the layer's change from corner to corner does to the score.
        return ((gradient[1:] + gradient[:-1]) / 2 * activation.diff(dim=0)).sum(0)

    def forget(self, sample: Sample) -> None:
        for target in range(len(self._targets)):
            del self._before[sample, target]

    def _remember(self, rows: Sequence[Row], scores: Sequence[float], target: Target) -> None:
        """The score at the end of each way."""
        for row, score in zip(rows, scores, strict=True):
            if self.step_of(row) == self.per_sample - 1:
                of_sample = self.scores.setdefault(self.sample_of(row), [])
                if len(of_sample) == self._targets.index(target):
                    of_sample.append(score)


def path_walker(batch: Batch, walk: Walk, members: Sequence[int]) -> PathWalker:
    """That of the walk's method, as it was told."""
    assert walk.way is not None and isinstance(walk.way.method, PathMethod)
    through = ImagePathWalker if walk.way.method.in_the_image(walk.way.options) else LayerPathWalker
    return through(batch, walk, members)
