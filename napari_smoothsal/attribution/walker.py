"""Walker: takes the passes of one walk over a batch, and collects what they leave."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import torch

from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.map_plan import MapPlan
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.core.specs import MOST_AUTO_SAMPLES

_ROUND = 4
"""With ``samples="auto"`` the error is looked at after every round of so many samples."""

Row = tuple[int, int]
"""A tile of the batch and a turn: which of the passes that each tile takes."""

Found = TypeVar("Found")


class Stopped(Exception):  # noqa: N818 - a wish that was granted, no error
    """A batch was given up because ``stop`` answered True."""


class SoFar(Protocol):
    """A map of each tile, of as many samples as were seen."""

    samples: torch.Tensor

    def result(self) -> torch.Tensor:
        """(B, C, h, w)."""
        ...

    def relative_standard_error(self) -> torch.Tensor:
        """(B,) on the CPU; NaN where it is not known."""
        ...


class Walker(ABC, Generic[Found]):
    """Takes the passes of one walk.

    Parameters
    ----------
    batch
        The tiles.
    walk
        How they are looked at.
    members
        Places, among the explainer's plans, of the maps that are made on the way.

    Attributes
    ----------
    maps
        What each member has so far.
    deltas
        (B,) of members whose values add up to the score less the baseline's: by how much they
        do not, summed over samples.
    per_sample
        Turns that make up one sample.
    turns
        How many each tile takes, at most.
    drawn
        How many were taken.
    open_tiles
        Those that are not done.
    """

    maps: Mapping[int, SoFar]
    per_sample = 1

    def __init__(self, batch: Batch, walk: Walk, members: Sequence[int]) -> None:
        self.batch = batch
        self.walk = walk
        self.members = members
        self.drawn = 0
        self.deltas: dict[int, torch.Tensor] = {}
        self.open_tiles = list(range(len(batch)))
        self.open = {i: torch.ones(len(batch), dtype=torch.bool) for i in members}

    @property
    def turns(self) -> int:
        samples = self.walk.samples
        most = MOST_AUTO_SAMPLES if samples == "auto" else max(samples, 1)
        return most * self.per_sample

    @property
    def done(self) -> float:
        """How many turns were taken; where one takes several passes, with its part."""
        return self.drawn

    @abstractmethod
    def run(self, rows: Sequence[Row]) -> Found:
        """One pass. Where memory runs out in it, it is taken again with fewer rows."""

    @abstractmethod
    def take_in(self, rows: Sequence[Row], found: Found) -> None:
        """Add what a pass has found; rows come turn by turn, within a turn in order of tiles."""

    def plan(self, member: int) -> MapPlan:
        """What is computed for a member."""
        return self.batch.explainer.plans[member]

    def on_the_tile(self, member: int, maps: torch.Tensor) -> torch.Tensor:
        """Of a member's maps (n, C, h, w) the channel that is wanted, without padding."""
        return self.without_padding(member, self.wanted_channel(member, maps))

    def wanted_channel(self, member: int, maps: torch.Tensor) -> torch.Tensor:
        """Of maps (n, C, h, w): all, or (n, 1, h, w)."""
        channel = self.plan(member).spec.channel
        return maps if channel is None else maps[:, channel, None]

    def without_padding(self, member: int, values: torch.Tensor) -> torch.Tensor:
        """What a member's layer makes of the tile itself; the same tensor where that is all."""
        height, width = self.batch.images.shape[2:]
        return self.batch.network.on_the_tile(values, self.plan(member).layer, (height, width))

    def convergence_delta(self, member: int) -> torch.Tensor:
        """(B,) on the CPU: by how much a member's values do not add up, the mean over samples.

        NaN of those that need not.
        """
        samples = self.maps[member].samples
        if member not in self.deltas:
            return torch.full_like(samples, torch.nan, dtype=torch.float64)
        return self.deltas[member].cpu() / samples

    def rows(self, turns: range) -> list[Row]:
        """What is left to do in some turns."""
        return [(tile, turn) for turn in turns for tile in self.open_tiles]

    def advance(self, most: int | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Draw as many samples as fit into one pass, but one at least.

        Parameters
        ----------
        most
            No more than this.
        stop
            Asked before every pass.

        Raises
        ------
        Stopped
            Once ``stop`` answers True.
        """
        limit, each = self.batch.explainer.rows, self.per_sample
        left = math.ceil((self.turns - self.drawn) / each)
        count = max(1, min(limit.limit // (len(self.open_tiles) * each), left))
        # As even passes as there are anyway: a last one of few rows is slower per row.
        count = min(math.ceil(left / math.ceil(left / count)), most or left)
        if self.walk.samples == "auto":
            count = min(count, _ROUND - self.drawn // each % _ROUND)
        upto = min(self.drawn + count * each, self.turns)

        def run(rows: Sequence[Row]) -> Found:
            if stop is not None and stop():
                raise Stopped
            return self.run(rows)

        for part, found in limit.parts(self.rows(range(self.drawn, upto)), run):
            self.take_in(part, found)
        self.drawn = upto
        self._close()

    def _close(self) -> None:
        """Strike off the tiles that have seen enough."""
        if self.drawn >= self.turns:
            self.open_tiles = []
            return
        whole = self.drawn // self.per_sample % _ROUND == 0
        for i in self.members:
            plan = self.plan(i)
            # Where there is nothing to explain, one sample gives the zeros their shape.
            if plan.method.of_the_target:
                self.open[i] &= self.batch.asked[plan.target]
            if self.walk.samples == "auto" and whole:
                error = self.maps[i].relative_standard_error()
                self.open[i] &= ~(error <= plan.spec.max_standard_error)
        still = torch.stack([self.open[i] for i in self.members]).any(0)
        self.open_tiles = [tile for tile in self.open_tiles if still[tile]]
