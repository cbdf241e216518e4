"""TrustMeasuring: the tests of a trust card one after the other, those that are soon known first.

What is known so far is told as a `TrustPart` after each of them, and while random orders are
drawn; in between it can be stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from napari_smoothsal.attribution import Stopped
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.checks import SanityCheck, StabilityCheck, TrustCheck
from napari_smoothsal.core.errors import TooFewTilesError
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.evaluation.blocks import blocks_above
from napari_smoothsal.evaluation.followed_tile import FollowedTile, Places, places_of
from napari_smoothsal.evaluation.insertion_deletion import Curves
from napari_smoothsal.evaluation.kept_class import maps_for
from napari_smoothsal.evaluation.paper import Told
from napari_smoothsal.evaluation.sanity import Found, sanity
from napari_smoothsal.evaluation.stability import stability
from napari_smoothsal.evaluation.trust_question import TrustQuestion
from napari_smoothsal.evaluation.trust_tests import (
    Tested,
    beyond_random,
    flags,
    precise,
    randomised,
    stable,
)

_RANDOM_ROADS, _ROAD_PASSES = 3, 20
_CHANGES = 8
_PASSES_OF_A_GRADIENT = 3
_AUTO_SAMPLES = 20
"""For how far a card is: ``samples="auto"`` stops where it likes."""
_TOLD_EVERY = 4
"""Random orders."""


@dataclass(frozen=True, eq=False)
class TrustPart:
    """What is known of a map while its card is being measured.

    Attributes
    ----------
    target, probability, predicted
        The explained class, what the model gives it, and the class that it predicts.
    tests
        Those that are decided.
    flags
        What to be wary of in the prediction, in words.
    curves, random_curves
        Insertion and deletion by the map, None until they are known, and in random orders, as many
        as there are yet.
    """

    target: str
    probability: float
    predicted: str
    tests: tuple[Tested, ...] = ()
    flags: tuple[str, ...] = ()
    curves: Curves | None = None
    random_curves: tuple[Curves, ...] = ()


class TrustMeasuring:
    """Measures what a card is made of.

    Parameters
    ----------
    question
        Of which map.
    how, perturbation, compute
        What is tested, and how tiles are taken apart.
    caveats
        Of the flags the first.
    told, on_part, stop
        See `trust_card`.
    """

    def __init__(
        self,
        question: TrustQuestion,
        how: TrustCheck,
        perturbation: Perturbation,
        compute: Compute,
        caveats: tuple[str, ...],
        told: Told,
        on_part: Callable[[TrustPart], None],
        stop: Callable[[], bool] | None,
    ) -> None:
        self._question, self._how, self._compute = question, how, compute
        self._told, self._on_part, self._stop = told, on_part, stop
        self._followed = FollowedTile(
            question.asked, question.image, question.outcome, perturbation
        )
        self.flags = (
            *caveats,
            *flags(
                question.model,
                question.spec,
                question.decision,
                question.outcome,
                question.truth,
                question.probability,
                how,
            ),
        )
        samples = question.spec.samples
        drawn = _AUTO_SAMPLES if samples == "auto" else max(1, samples)
        self._map, self._curve = _PASSES_OF_A_GRADIENT * drawn, 2 * (perturbation.steps + 1)
        above = len(blocks_above(question.model, question.spec.layer)) if how.by_block else 1
        # What is done, in forward passes: of the map, curves, changed tiles, copies, ROAD.
        self._stages = (
            self._map,
            (1 + how.random_orders) * self._curve,
            (1 + _CHANGES) * self._map,
            (1 + how.copies * above) * self._map,
            (1 + _RANDOM_ROADS) * _ROAD_PASSES if how.road else 0,
        )
        self._tests: dict[str, Tested] = {}
        self._curves: Curves | None = None
        self._random: list[Curves] = []

    @property
    def part(self) -> TrustPart:
        """What is known."""
        asked = self._question
        return TrustPart(
            target=asked.target,
            probability=asked.probability,
            predicted=asked.predicted,
            tests=self.tests,
            flags=self.flags,
            curves=self._curves,
            random_curves=tuple(self._random),
        )

    @property
    def tests(self) -> tuple[Tested, ...]:
        """Those that are decided, as a card has them."""
        order = ("deletion", "insertion", "randomisation", "other stain", "shifted tile")
        known = self._tests
        return tuple(known[name] for name in (*order, "standard error") if name in known)

    def map(self) -> tuple[torch.Tensor, torch.Tensor, Places]:
        """Raw (1, C, h, w), reduced (h, w), and where the latter lies."""
        asked, explainer = self._question, self._question.explainer
        self._at("the map", 0, 0.0)
        (found,) = explainer.explain(asked.tiles.images([0]), [(0,)], self._stop).specs
        speaking = maps_for(asked.model, asked.spec, found.maps, asked.outcome)
        self._know(precise(float(found.standard_error[0]), self._how))
        reduced = reduce_channels(speaking, asked.spec.reduction)[0]
        return found.maps, reduced, places_of(explainer)

    def curves(self, reduced: torch.Tensor, places: Places) -> tuple[Curves, tuple[Curves, ...]]:
        """By the map, and in random orders."""
        orders = self._how.random_orders
        self._at("insertion and deletion", 1, 0.0)
        self._curves = self._followed.curves(reduced, places)
        self._on_part(self.part)
        for one in self._followed.random_curves(orders, seed=0):
            self._random.append(one)
            self._at("insertion and deletion", 1, len(self._random) / orders)
            if len(self._random) % _TOLD_EVERY == 0:
                self._on_part(self.part)
        random = tuple(self._random)
        self._know(*beyond_random(self._curves, random, self._how))
        return self._curves, random

    def changed(self) -> pd.DataFrame:
        """See `stability`."""
        asked = self._question
        found = stability(
            asked.whole,
            asked.unstained,
            [asked.spec],
            StabilityCheck(),
            self._compute,
            self._within("changed tiles", 2),
            self._stop,
        )
        self._know(*stable(found, self._how))
        return found

    def randomised(self) -> Found:
        """See `sanity`."""
        how = self._how
        check = SanityCheck(copies=how.copies, draws=how.draws)
        if not how.by_block:
            asked = self._question
            deepest = blocks_above(asked.model, asked.spec.layer)[-1:]
            check = check.model_copy(update={"blocks": tuple(one.name for one in deepest)})
        try:
            found, refitted = self._sanity(check), True
        except TooFewTilesError:
            # After a global pooling one tile has but one value per channel, and no variance.
            kept = check.model_copy(update={"statistics": "kept"})
            found, refitted = self._sanity(kept), False
        self._know(randomised(found, refitted=refitted))
        return found

    def road(self, reduced: torch.Tensor, places: Places) -> tuple[float, float]:
        """Of the map, and of random orders; NaN where it is not asked for."""
        if not self._how.road:
            return np.nan, np.nan
        self._at("ROAD", 4, 0.0)
        of_map = self._followed.road(reduced, places, seed=0)
        self._at("ROAD", 4, 1 / (1 + _RANDOM_ROADS))
        return of_map, float(np.mean(self._followed.random_road(_RANDOM_ROADS, seed=0)))

    def _sanity(self, check: SanityCheck) -> Found:
        asked = self._question
        told = self._within("randomised copies", 3)
        return sanity(
            asked.model, asked.tiles, [asked.spec], check, self._compute, told, self._stop
        )

    def _know(self, *tests: Tested) -> None:
        self._tests |= {test.name: test for test in tests}
        self._on_part(self.part)

    def _within(self, what: str, stage: int) -> Told:
        return lambda _what, done, total: self._at(what, stage, done / max(1, total))

    def _at(self, what: str, stage: int, share: float) -> None:
        """Tell how far it is; where it is to stop, stop."""
        if self._stop is not None and self._stop():
            raise Stopped
        done = sum(self._stages[:stage]) + share * self._stages[stage]
        self._told(what, round(done), sum(self._stages))
