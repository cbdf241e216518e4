"""Changed images, and the scores they get: the walks of `PerturbationMethod`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from napari_smoothsal.attribution.base import PerturbationMethod
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.perturbation import Perturbation
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.attribution.walker import Row, Walker
from napari_smoothsal.core.caller_warning import warn_caller

Scores = dict[int, torch.Tensor]
"""(n,) by member, tile by tile."""

_AT_ONCE = 16
"""Changed images of each tile that count as one sample, where a picture refines itself."""


class PerturbationMaps:
    """What each tile's perturbation makes of its scores."""

    def __init__(self, perturbations: Sequence[Perturbation]) -> None:
        self.perturbations = perturbations
        self.samples = torch.zeros(len(perturbations), dtype=torch.int64)

    def result(self) -> torch.Tensor:
        return torch.stack([p.result() for p in self.perturbations])

    def relative_standard_error(self) -> torch.Tensor:
        errors = [p.relative_standard_error() for p in self.perturbations]
        return torch.tensor(errors, dtype=torch.float64)


class PerturbationWalker(Walker[Scores]):
    """Asks for the scores of changed images; members of other targets share their passes."""

    maps: Mapping[int, PerturbationMaps]
    per_sample = _AT_ONCE

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        super().__init__(batch, walk, members)
        assert walk.way is not None and isinstance(walk.way.method, PerturbationMethod)
        method, options = walk.way.method, walk.way.options
        tiles = batch.perturbed_tiles(walk.seed)
        # One member asks for each target; what others do differently is done to finished maps.
        self._asking = {self.plan(i).target: i for i in members}
        made = {
            target: PerturbationMaps([method.perturb(tile, options) for tile in tiles])
            for target in self._asking
        }
        self.maps = {i: made[self.plan(i).target] for i in members}
        self._ways = self.maps[members[0]].perturbations
        for words in {way.caveat for way in self._ways if way.caveat}:
            warn_caller(words)

    @property
    def turns(self) -> int:
        return max(way.count for way in self._ways)

    def convergence_delta(self, member: int) -> torch.Tensor:
        deltas = [p.convergence_delta() for p in self.maps[member].perturbations]
        return torch.tensor(deltas, dtype=torch.float64)

    def rows(self, turns: range) -> list[Row]:
        return [row for row in super().rows(turns) if row[1] < self._ways[row[0]].count]

    @torch.no_grad()
    def run(self, rows: Sequence[Row]) -> Scores:
        batch, walk = self.batch, self.walk
        network = batch.altered(walk)
        by_tile = _by_tile(rows)
        tiles = torch.tensor([tile for tile, turns in by_tile.items() for _ in turns])
        changed = [self._ways[tile].images(turns) for tile, turns in by_tile.items()]
        images = changed[0] if len(changed) == 1 else torch.cat(changed)
        images = images.contiguous(memory_format=torch.channels_last)
        units = [target.unit for target in self._asking]
        layers = list(dict.fromkeys(unit[0] for unit in units if unit is not None))
        with (
            batch.denoised(walk, network),
            network.captured(layers) as activations,
        ):
            output = network.output(images)
        found: Scores = {}
        for target, i in self._asking.items():
            question = batch.questions[target].rows(tiles)
            found[i] = question.scores(output, activations)
        return found

    def take_in(self, rows: Sequence[Row], found: Scores) -> None:
        start = 0
        for tile, turns in _by_tile(rows).items():
            stop = start + len(turns)
            for i, scores in found.items():
                self.maps[i].perturbations[tile].add(turns, scores[start:stop])
                self.maps[i].samples[tile] += len(turns)
            start = stop


def _by_tile(rows: Sequence[Row]) -> dict[int, list[int]]:
    """The turns of each tile, ascending."""
    found: dict[int, list[int]] = {}
    for tile, turn in rows:
        found.setdefault(tile, []).append(turn)
    return found
