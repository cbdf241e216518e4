"""MarkedTiles: which tiles of a map are drawn over with a pattern, where, and what is said of them.

Hatched: the model predicts another class than the map explains. Dotted: predicted, not explained.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.render.words import DOTTED, HATCHED, dotted_in_words
from napari_smoothsal.runs.tile_lattice import Numbers
from napari_smoothsal.runs.tile_states import Flags, TileStates
from napari_smoothsal.viewer.hatched_level import (
    DOTS,
    STRIPES,
    Bounds,
    HatchedLevel,
    hatched_levels,
)
from napari_smoothsal.viewer.map_picture import StoredPicture
from napari_smoothsal.viewer.placement import Pair
from napari_smoothsal.viewer.slide_source import METADATA

FOUND = "found"
"""Under which, in a layer's metadata, lies what it marks."""
FINEST_PX = 0.125
"""Pixels of the finest level, in level-0 px, at most: nobody looks nearer."""


class MarkedTiles(ABC):
    """Tiles of one map that are marked alike.

    Parameters
    ----------
    states
        Of the map's tiles.
    mpp
        (y, x) micrometres per level-0 px of their slide.
    within
        The map: beyond it, where tiles reach out of what was asked for, nothing is marked.
    """

    pattern: NDArray[np.uint8]

    def __init__(self, states: TileStates, mpp: Pair, within: StoredPicture | None = None) -> None:
        self._states = states
        self._mpp = mpp
        self._within = within
        step = max(states.lattice.step_px)
        self._per_cell = 1 << max(0, math.ceil(math.log2(step / FINEST_PX)))

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the layer."""

    @property
    @abstractmethod
    def in_words(self) -> str:
        """For the legend."""

    @property
    @abstractmethod
    def owners(self) -> Numbers:
        """Of each part of the lattice, number of the tile that may be marked there; 0: none."""

    @property
    @abstractmethod
    def flags(self) -> Flags:
        """(tiles,) those that are."""

    @property
    def against(self) -> Flags | None:
        """Parts that the marked ones are lined against; None: all others."""
        return None

    @abstractmethod
    def _said(self, predicted: str, probability: str) -> str:
        """What is said of one of them; the probability may be empty."""

    @cached_property
    def levels(self) -> list[HatchedLevel]:
        """Of the layer, finest first."""
        return hatched_levels(
            self._states.marked(self.owners, self.flags),
            self._per_cell,
            self._bounds,
            cuts=self._states.lattice.cuts,
            pattern=self.pattern,
            against=self.against,
        )

    @property
    def scale_um(self) -> Pair:
        """(y, x) of a pixel of the finest level."""
        steps = zip(self._states.lattice.step_px, self._mpp, strict=True)
        y, x = (step / self._per_cell * mpp for step, mpp in steps)
        return (y, x)

    @property
    def translate_um(self) -> Pair:
        """(y, x) of the centre of its first one."""
        # The lattice begins at an edge; pixel 0 of a slide has its centre, half a pixel on, at 0.
        starts = zip(self._states.lattice.start_px, self._mpp, self.scale_um, strict=True)
        y, x = ((start - 0.5) * mpp + pixel / 2 for start, mpp, pixel in starts)
        return (y, x)

    def said_at(self, layer: Any, position: Any) -> str:
        """What is to be said at a place; empty where nothing is marked."""
        pixel = np.asarray(layer.world_to_data(position), float)[-2:]
        bounds = self._bounds
        if bounds and not all(a <= p + 0.5 <= b for p, (a, b) in zip(pixel, bounds, strict=True)):
            return ""
        lattice = self._states.lattice
        starts = zip(lattice.start_px, lattice.step_px, pixel, strict=True)
        y, x = (s + (p + 0.5) / self._per_cell * step for s, step, p in starts)
        number = int(lattice.at(self.owners, np.array([y]), np.array([x]))[0, 0])
        if number == 0 or not self.flags[number - 1]:
            return ""
        states, chance = self._states, float(self._states.probability[number - 1])
        predicted = states.outcomes[states.predicted[number - 1]]
        of = predicted if states.target == "auto" else states.target
        known = states.target == "auto" or states.target in states.outcomes
        sure = f", p({of}) = {chance:.2g}" if known and np.isfinite(chance) else ""
        return self._said(predicted, sure)

    @cached_property
    def _bounds(self) -> Bounds | None:
        """Of the map, in pixels of the finest level."""
        if self._within is None:
            return None
        first = np.subtract(self.translate_um, np.divide(self.scale_um, 2))
        low, high = (np.subtract(c, first) / self.scale_um for c in self._within.extent_um)
        return (low[0], high[0]), (low[1], high[1])


class OtherClass(MarkedTiles):
    """Explained tiles that the model predicts as another class than the map explains."""

    pattern = STRIPES

    @property
    def name(self) -> str:
        """Of the layer."""
        return f"hatched: the model does not say {self._states.target}"

    @property
    def in_words(self) -> str:
        """For the legend."""
        return HATCHED

    @property
    def owners(self) -> Numbers:
        """Of each part of the lattice, the explained tile."""
        return self._states.owners

    @cached_property
    def flags(self) -> Flags:
        """(tiles,) those that are predicted otherwise."""
        return self._states.otherwise

    def _said(self, predicted: str, probability: str) -> str:
        return f"explains {self._states.target}, model says {predicted}{probability}"


class NotExplained(MarkedTiles):
    """Tiles that are predicted and were left out of what is explained, which is outlined."""

    pattern = DOTS

    @property
    def name(self) -> str:
        """Of the layer."""
        return DOTTED

    @property
    def in_words(self) -> str:
        """For the legend."""
        left_out = self._states.not_explained
        return dotted_in_words(int(left_out.sum()), len(left_out), self._states.choice)

    @property
    def owners(self) -> Numbers:
        """Of each part of the lattice, the tile that is predicted only."""
        return self._states.owners_not_explained

    @property
    def flags(self) -> Flags:
        """(tiles,) those that are."""
        return self._states.not_explained

    @property
    def against(self) -> Flags:
        """Parts that are explained."""
        explained: Flags = self._states.owners > 0
        return explained

    def _said(self, predicted: str, probability: str) -> str:
        return f"not explained: predicted {predicted}{probability}"


def marks_of(states: TileStates, mpp: Pair, within: StoredPicture | None) -> list[MarkedTiles]:
    """What is marked over a map, of each kind where there is any."""
    found = [OtherClass(states, mpp, within), NotExplained(states, mpp, within)]
    return [marked for marked in found if marked.flags.any()]


def said_at(viewer: Any, position: Any) -> str:
    """What the topmost visible layer of marked tiles says at a place."""
    for layer in reversed(viewer.layers):
        marked = marked_by(layer)
        if marked is not None and layer.visible and (said := marked.said_at(layer, position)):
            return said
    return ""


def marked_by(layer: Any) -> MarkedTiles | None:
    """What a layer marks; None of another layer."""
    own = layer.metadata.get(METADATA)
    found: MarkedTiles | None = own.get(FOUND) if isinstance(own, dict) else None
    return found
