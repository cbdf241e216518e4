"""trust_of_region: the trust card of a part of a slide, from a few of its tiles.

Each tile's map is another one, and answers for itself: so a few tiles are tested one by one, and
what they say is put side by side. Which tiles, and how much of each, is chosen so that a view is
answered within a minute on a processor, and is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Stopped
from napari_smoothsal.core.calibration import spread
from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.evaluation.followed_tile import asked_of
from napari_smoothsal.evaluation.kept_class import one_precision
from napari_smoothsal.evaluation.trust import TrustCard, trust_card
from napari_smoothsal.evaluation.trust_measuring import TrustPart
from napari_smoothsal.evaluation.trust_question import explained_outcome
from napari_smoothsal.evaluation.trust_together import (
    JoinedTest,
    joined_tests,
    verdict_of,
)
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import Region, RunPlan, placed_layers, plan_tiles
from napari_smoothsal.slides import Box, Slide
from napari_smoothsal.slides.reader import TileReader

REGION_TILES = 3
"""That are tested."""
REGION_CHECK = TrustCheck(by_block=False, road=False)
"""What decides, and not what only illustrates."""
LOOKED_AT = 32
"""Tiles that are predicted, at most, to choose those from."""

Told = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class TileTrust:
    """Of one tile.

    Attributes
    ----------
    box
        In level-0 px of the slide.
    part
        What is known of its map.
    card
        All of it, once that is known.
    """

    box: Box
    part: TrustPart
    card: TrustCard | None = None


@dataclass(frozen=True, eq=False)
class RegionTrust:
    """The trust card of a part of a slide, as far as it is.

    Attributes
    ----------
    spec, how
        What was explained, and what was tested.
    chosen
        How many tiles are tested in the end.
    looked_at, predicted
        How many they are chosen from, and how many of those are predicted as what is explained.
    target
        What is explained: a class, or what is predicted of each tile.
    tiles
        Of those that are tested yet, in the order of their place.
    """

    spec: SaliencySpec
    how: TrustCheck
    chosen: int
    looked_at: int
    predicted: int
    target: str
    tiles: tuple[TileTrust, ...] = ()

    @property
    def parts(self) -> tuple[TrustPart, ...]:
        """What is known of each tile."""
        return tuple(one.part for one in self.tiles)

    @property
    def whole(self) -> int:
        """On how many tiles everything is decided."""
        return sum(one.card is not None for one in self.tiles)

    @property
    def complete(self) -> bool:
        """Whether it is on all that were chosen."""
        return self.whole == self.chosen

    @property
    def tests(self) -> tuple[JoinedTest, ...]:
        """Test by test."""
        return joined_tests(self.parts)

    @property
    def verdict(self) -> str:
        """What came of it, in plain words."""
        if not self.chosen:
            return "No tissue found here: nothing to test."
        if not self.whole:
            return "Not one tile is tested yet."
        done = [one.part for one in self.tiles if one.card is not None]
        so_far = "" if self.complete else "So far: "
        return so_far + verdict_of(joined_tests(done), done, self.whole)

    @property
    def in_words(self) -> str:
        """Which tiles were tested, and how."""
        if not self.chosen:
            return ""
        tiles = "1 tile" if self.chosen == 1 else f"{self.chosen} tiles"
        if not self.predicted:
            of = f"the {self.looked_at} here, none of which is predicted {self.target}"
        elif self.predicted == self.looked_at:
            of = f"the {self.looked_at} here, all predicted {self.target}"
        else:
            of = f"the {self.predicted} predicted {self.target} of {self.looked_at} here"
        samples = self.spec.samples
        drawn = "noise samples as many as needed" if samples == "auto" else f"{samples} samples"
        return (
            f"{tiles} of {of}, spread over them; maps of {drawn}, {self.how.random_orders} random "
            f"orders, {self.how.copies} random copies of the model"
        )


def trust_of_region(
    slide: Slide,
    model: Model,
    spec: SaliencySpec,
    region: Region | None = None,
    *,
    tiles: int = REGION_TILES,
    tiling: Tiling | None = None,
    how: TrustCheck = REGION_CHECK,
    perturbation: Perturbation | None = None,
    compute: Compute | None = None,
    told: Told = lambda *_: None,
    on_part: Callable[[RegionTrust], None] = lambda _: None,
    stop: Callable[[], bool] | None = None,
) -> RegionTrust:
    """Test maps of a few tiles of a region.

    Parameters
    ----------
    slide, model, spec, region, tiling
        As of `explain_slide`; the tiles are those that its map is made of. The model decides once
        per tile.
    tiles
        How many are tested at most: of `LOOKED_AT` that are spread over the region those that are
        predicted as what is explained, or all where none is, and of these so many, spread again.
    how, perturbation, compute
        As of `trust_card`.
    told
        Called with what is measured, how much is done, and of how much.
    on_part
        Called with what is known so far, several times for each tile.
    stop
        Asked before every pass. What is known then is returned, and is not ``complete``.

    Raises
    ------
    SmoothsalError
        As `trust_card` and `plan_tiles`.
    """
    compute = one_precision(compute or Compute())
    asked = asked_of(model, compute)
    explainer = Explainer(model, [spec], compute, "slide", warn=False)
    target = explainer.targets[0]
    plan = plan_tiles(
        slide, model, tiling or Tiling(), layers=placed_layers(explainer), region=region
    )
    numbers = spread(len(plan), LOOKED_AT)
    images, numbers = _read(slide, plan, numbers)
    empty = RegionTrust(explainer.specs[0], how, 0, 0, 0, target.label)
    if not numbers:
        return empty
    told("the model's predictions", 0, 1)
    decision = asked.decision(images)
    outcome = explained_outcome(model, target, decision)
    predicted = list(range(len(numbers)))
    if target.classes is not None:
        predicted = np.flatnonzero(decision.predicted.numpy() == outcome).tolist()
        spec = spec.model_copy(update={"target": model.readout.score_of(outcome)[0]})
    candidates = predicted or list(range(len(numbers)))
    chosen = [candidates[k] for k in spread(len(candidates), tiles)]
    found = replace(empty, chosen=len(chosen), looked_at=len(numbers), predicted=len(predicted))
    for done, k in enumerate(chosen):
        box = plan.grid.box(numbers[k])

        def known(part: TrustPart, box: Box = box, before: RegionTrust = found) -> None:
            nonlocal found
            found = replace(before, tiles=(*before.tiles, TileTrust(box, part)))
            on_part(found)

        def going(what: str, part: int, of: int, done: int = done) -> None:
            whole = len(chosen) * of
            told(f"tile {done + 1} of {len(chosen)}: {what}", done * of + part, whole)

        before = found
        try:
            card = trust_card(
                model,
                images[k],
                spec,
                name=f"tile from x {box.x:.0f}, y {box.y:.0f} (level-0 px)",
                how=how,
                perturbation=perturbation,
                compute=compute,
                told=going,
                on_part=known,
                stop=stop,
            )
        except Stopped:
            return found
        last = TileTrust(box, found.tiles[-1].part, card)
        found = replace(before, tiles=(*before.tiles, last))
        on_part(found)
    return found


def _read(slide: Slide, plan: RunPlan, numbers: list[int]) -> tuple[torch.Tensor, list[int]]:
    """Tiles (n, 3, H, W) of a plan, and the numbers of those that could be read."""
    if not numbers:
        return torch.zeros(0), []
    boxes = [plan.grid.box(number) for number in numbers]
    with TileReader(slide, plan.grid.tile_px, resampling=plan.resampling) as reader:
        (batch,) = reader.batches([boxes])
    good: NDArray[np.bool_] = np.array([error is None for error in batch.errors])
    pixels = torch.from_numpy(batch.images[good]).permute(0, 3, 1, 2).contiguous()
    return pixels, [number for number, fine in zip(numbers, good, strict=True) if fine]
