"""Passes of mixed images, forth and back, that many optimisations ask for: of `MaskMethod`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import torch

from napari_smoothsal.attribution.base import MaskMethod
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.mask_optimisation import MaskOptimisation, Scored
from napari_smoothsal.attribution.noise import add_noise
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.attribution.walker import Row, Stopped, Walker
from napari_smoothsal.core.caller_warning import warn_caller

Found = tuple[torch.Tensor, list[torch.Tensor]]
"""Of one pass the values (n,), and what each optimisation in it adds to its gradient."""


class MaskMaps:
    """What each tile's optimisation has come to."""

    def __init__(self, optimisations: Sequence[MaskOptimisation]) -> None:
        self.optimisations = optimisations
        self.samples = torch.zeros(len(optimisations), dtype=torch.int64)

    def result(self) -> torch.Tensor:
        return torch.stack([o.result() for o in self.optimisations])

    def relative_standard_error(self) -> torch.Tensor:
        return torch.full((len(self.optimisations),), torch.nan, dtype=torch.float64)


class MaskWalker(Walker[Found]):
    """Answers what the optimisations of its tiles and members ask, in shared passes.

    A turn is an iteration. It takes several passes, and another number of them for each tile: none
    waits for another. A row is an optimisation, counted through all members, and one of the
    images that it asks for.
    """

    maps: Mapping[int, MaskMaps]

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        super().__init__(batch, walk, members)
        assert walk.way is not None and isinstance(walk.way.method, MaskMethod)
        method, options = walk.way.method, walk.way.options
        tiles = batch.perturbed_tiles(walk.seed)
        self.maps = {
            i: MaskMaps([method.optimise(tile, options) for tile in tiles]) for i in members
        }
        self._all = [o for i in members for o in self.maps[i].optimisations]
        self._scores: dict[int, list[torch.Tensor]] = {}
        self._gradients: dict[int, torch.Tensor] = {}
        pixel = torch.zeros(1, batch.images.shape[1], 1, 1)
        network = batch.network
        # What the range of colours is to the network, by channel.
        self._range = network.normalised(pixel + 1) - network.normalised(pixel)

    @property
    def turns(self) -> int:
        return self._all[0].count

    def advance(self, most: int | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Answer what every open tile asks once; or so often that ``most`` iterations are done."""
        going = self._open()
        goals = {n: min(len(self._all[n].trace) + (most or 0), self.turns) for n in going}
        self._answer(going, stop)
        while behind := [n for n in going if len(self._all[n].trace) < goals[n]]:
            self._answer(behind, stop)
        self.open_tiles = sorted({n % len(self.batch) for n in self._open()})
        for maps in self.maps.values():
            maps.samples = torch.tensor([len(o.trace) for o in maps.optimisations])
        self.drawn = min((len(self._all[n].trace) for n in self._open()), default=self.turns)
        if not self.open_tiles:
            finished = (one for one in self._all if one.finished)
            for words in {one.caveat for one in finished if one.caveat}:
                warn_caller(words)

    @property
    def done(self) -> float:
        return min((self._all[n].progress for n in self._open()), default=self.turns)

    def _open(self) -> list[int]:
        """Optimisations that go on."""
        return [
            member * len(self.batch) + tile
            for member, i in enumerate(self.members)
            for tile in range(len(self.batch))
            # Where there is nothing to explain, no mask changes anything.
            if self.batch.asked[self.plan(i).target][tile]
            and not self.maps[i].optimisations[tile].finished
        ]

    def _answer(self, going: Sequence[int], stop: Callable[[], bool] | None) -> None:
        """Score what some optimisations ask, and tell them."""

        def run(rows: Sequence[Row]) -> Found:
            if stop is not None and stop():
                raise Stopped
            return self.run(rows)

        self._scores, self._gradients = {}, {}
        for with_gradient in (True, False):
            rows = [
                (n, image)
                for n in going
                if (self._all[n].ask().weights is not None) == with_gradient
                for image in range(len(self._all[n].ask().which))
            ]
            for part, found in self.batch.explainer.rows.parts(rows, run):
                self.take_in(part, found)
        for n in going:
            values = torch.cat(self._scores[n]).cpu()
            self._all[n].tell(Scored(values, self._gradients.get(n)))

    def run(self, rows: Sequence[Row]) -> Found:
        batch, walk = self.batch, self.walk
        network = batch.altered(walk)
        by_optimisation = _by_optimisation(rows)
        mixed = [self._mixed(n, numbers) for n, numbers in by_optimisation]
        images = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        images = images.contiguous(memory_format=torch.channels_last)
        wanted = self._all[rows[0][0]].ask().weights is not None
        with torch.set_grad_enabled(wanted):
            images.requires_grad_(wanted)
            with batch.denoised(walk, network):
                output = network.output(images)
            values = self._values(rows, output)
        if not wanted:
            return values, []
        weights = torch.cat([self._weights(n)[numbers] for n, numbers in by_optimisation])
        (gradient,) = torch.autograd.grad(values, images, weights.to(values))
        parts = gradient.split([len(numbers) for _, numbers in by_optimisation])
        gradients = [
            self._of_masks(n, numbers, part)
            for (n, numbers), part in zip(by_optimisation, parts, strict=True)
        ]
        return values.detach(), gradients

    def take_in(self, rows: Sequence[Row], found: Found) -> None:
        values, gradients = found
        by_optimisation = _by_optimisation(rows)
        parts = values.split([len(numbers) for _, numbers in by_optimisation])
        for (n, _), part in zip(by_optimisation, parts, strict=True):
            self._scores.setdefault(n, []).append(part)
        for (n, _), gradient in zip(by_optimisation, gradients, strict=False):
            self._gradients[n] = self._gradients[n] + gradient if n in self._gradients else gradient

    def _values(self, rows: Sequence[Row], output: torch.Tensor) -> torch.Tensor:
        """(n,) what each row's optimisation is told; those of one member lie together."""
        found, start, tiles = [], 0, len(self.batch)
        for member, mine in groupby(rows, lambda row: row[0] // tiles):
            which = [n for n, _ in mine]
            numbers = torch.tensor([n % tiles for n in which])
            question = self.batch.questions[self.plan(self.members[member]).target].rows(numbers)
            question = question.mirrored(torch.tensor([self._all[n].ask().mirrored for n in which]))
            mine_alone = output[start : start + len(numbers)]
            if self.maps[self.members[member]].optimisations[0].of_scores:
                found.append(question.scores(mine_alone) / question.explained_px.clamp_min(1))
            else:
                found.append(question.probabilities(mine_alone))
            start += len(numbers)
        return torch.cat(found)

    def _mixed(self, number: int, images: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) some of the images that an optimisation asks for."""
        optimisation = self._all[number]
        asked, tile = optimisation.ask(), optimisation.tile.image
        mixed = optimisation.background.mixed(self._shown(number, images))
        if asked.mirrored:
            mixed = mixed.flip(-1)
        if asked.noise is None:
            return mixed
        scale = (self._range * optimisation.noise_sigma)[0]
        place, start = self.batch.places[number % len(self.batch)], 0
        for noise, same in groupby(asked.noise[images].tolist()):
            stop = start + len(list(same))
            drawn = add_noise(
                torch.zeros_like(tile)[None],
                [place],
                1.0,
                self.walk.seed,
                [noise],
                shared=self.batch.explainer.model.shares_noise,
            )
            mixed[start:stop].addcmul_(drawn, scale)
            start = stop
        return mixed

    def _of_masks(self, number: int, images: Sequence[int], gradient: torch.Tensor) -> torch.Tensor:
        """(j, H, W) with respect to an optimisation's masks, of one with respect to its images."""
        optimisation = self._all[number]
        asked = optimisation.ask()
        if asked.mirrored:
            gradient = gradient.flip(-1)
        slope = optimisation.background.slope(self._shown(number, images))
        of_images = (gradient * slope).sum(1) * self._slopes(number, images)[:, None, None]
        which = asked.which[images].to(gradient.device)
        return torch.zeros_like(asked.masks).index_add_(0, which, of_images)

    def _weights(self, number: int) -> torch.Tensor:
        weights = self._all[number].ask().weights
        assert weights is not None
        return weights

    def _shown(self, number: int, images: Sequence[int]) -> torch.Tensor:
        """(n, H, W) how much of the tile shows."""
        asked = self._all[number].ask()
        shown = asked.masks[asked.which[images].to(asked.masks.device)]
        shown = shown * self._slopes(number, images)[:, None, None]
        shown += asked.swapped[images].to(shown)[:, None, None]
        return shown

    def _slopes(self, number: int, images: Sequence[int]) -> torch.Tensor:
        """(n,) how fast images go from the background to the tile as their masks grow."""
        asked = self._all[number].ask()
        shares, swapped = asked.shares[images], asked.swapped[images]
        return torch.where(swapped, -shares, shares).to(asked.masks)


def _by_optimisation(rows: Sequence[Row]) -> list[tuple[int, list[int]]]:
    """Of each optimisation the images that it asks for, among rows."""
    return [
        (number, [image for _, image in mine]) for number, mine in groupby(rows, lambda row: row[0])
    ]
