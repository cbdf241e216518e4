"""Sanity checks: does a map depend on what the model has learned?

The map of the trained model is compared with that of copies whose blocks were randomised, one
block after the other from the output down (*cascading*) or one block alone (*independent*), for
the class that the trained model predicts (Adebayo et al., NeurIPS 2018; there the class that each
copy predicts was explained). At hidden layers only what lies above them is randomised: below, the
activations that are explained would be others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd
import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.checks import Randomisation, SanityCheck
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.blocks import Block, blocks_above, blocks_of
from napari_smoothsal.evaluation.chance import chance_similarities
from napari_smoothsal.evaluation.kept_class import (
    kept_target,
    named,
    one_precision,
    parts_by_class,
    reduced_maps,
)
from napari_smoothsal.evaluation.map_similarity import Looks, Similarity, similarity
from napari_smoothsal.evaluation.paper import AT_ONCE, Tiles, Told
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.models import Model

NOISE, OTHER_TILES = "noise as smooth", "another tile"
_OTHERS = 3


CASCADING, INDEPENDENT, LABELS = "cascading", "independent", "labels"

CHANCE_COLUMNS = ["tile", "layer", "method", "denoising", "against", *Similarity._fields]
"""Of a table that is empty where every map is constant and there is one tile."""


class Found(NamedTuple):
    """Of a sanity check.

    Attributes
    ----------
    similarities
        One row per tile, map and randomised copy: ``tile``, ``layer``, ``method``,
        ``denoising``, ``order`` (`CASCADING`, `INDEPENDENT` or `LABELS`), ``block``, ``depth``
        (blocks from the output down), ``whole`` (whether nothing trained is left of what is to be
        randomised; never of independent ones unless there is but one block), ``copy``, and the
        measures of `Similarity`.
    chance
        The same measures of the trained model's maps ``against`` `NOISE`, several rows per tile,
        and those of the next tiles of the same class, `OTHER_TILES`.
    """

    similarities: pd.DataFrame
    chance: pd.DataFrame


def sanity(
    model: Model,
    tiles: Tiles,
    specs: Sequence[SaliencySpec],
    how: SanityCheck,
    compute: Compute,
    told: Told = lambda *_: None,
    stop: Callable[[], bool] | None = None,
) -> Found:
    """Compare maps of a model with those of randomised copies.

    Parameters
    ----------
    model
        Trained; it is not changed.
    tiles
        Explained. Running statistics of copies are refitted to the first of them.
    specs
        What is explained. ``target`` unset or "auto" is the class that the trained model predicts
        for a tile, of the copies, too. Of models that decide per pixel the score is summed over
        all pixels: those that a copy predicts would be others.
    how
        What is randomised.
    compute
        On what; ``precision="auto"`` is fp32, so that all copies have the same.
    told
        Called as it goes on.
    stop
        Asked before every pass.

    Raises
    ------
    Stopped
        Once ``stop`` answers True.
    SettingError
        If nothing lies above a layer.
    UnknownNameError
        If there is no such layer or block.
    """
    compute = one_precision(compute)
    specs = Explainer(model, list(specs), compute, "tiles", warn=False).specs
    steps = _Steps(model, specs, how)
    known = tiles.images(range(min(AT_ONCE, len(tiles))))
    parts = list(parts_by_class(model, tiles, compute))
    done, total = 0, len(parts) * (1 + len(steps))
    rows: list[dict[str, object]] = []
    chance: list[dict[str, object]] = []
    for label, indices in parts:
        images = tiles.images(indices)
        names = [tiles.name(index) for index in indices]
        asked = [kept_target(model, spec, label) for spec in specs]
        told("sanity checks", done, total)
        trained = looks_of(model, asked, images, indices, compute, label, stop)
        for number, looks in enumerate(trained):
            told("sanity checks: chance level", done, total)
            chance += chance_rows(specs[number], names, indices, looks, how.draws)
        done += 1
        for step in steps:
            told("sanity checks", done, total)
            done += 1
            chosen = [n for n in range(len(specs)) if step.depth <= steps.deepest[n]]
            copied = randomised(model, step.randomised, step.how, known)
            explained = [asked[n] for n in chosen]
            forgotten = looks_of(copied, explained, images, indices, compute, label, stop)
            for number, looks in zip(chosen, forgotten, strict=True):
                whole = len(step.randomised) == steps.deepest[number]
                about = {"order": step.order, "block": step.block, "depth": step.depth}
                about |= {"whole": whole, "copy": step.how.seed}
                for name, one, other in zip(names, trained[number], looks, strict=True):
                    rows.append(
                        {"tile": name}
                        | named(specs[number])
                        | about
                        | similarity(one, other)._asdict()
                    )
    return Found(pd.DataFrame(rows), pd.DataFrame(chance, columns=CHANCE_COLUMNS))


class _Step(NamedTuple):
    """One randomised copy."""

    order: str
    block: str
    depth: int
    randomised: list[Block]
    how: Randomisation


class _Steps:
    """All copies of a check.

    Attributes
    ----------
    deepest
        For each spec, how many blocks are randomised, counted from the output down.
    """

    def __init__(self, model: Model, specs: Sequence[SaliencySpec], how: SanityCheck) -> None:
        blocks = blocks_of(model)
        layers = {spec.layer for spec in specs}
        above = {layer: blocks if how.below else blocks_above(model, layer) for layer in layers}
        for layer, to_randomise in above.items():
            if not to_randomise:
                raise SettingError(
                    f"layer {layer!r} of model {model.card.name!r} has no block above it that it "
                    "is not a part of, so nothing can be randomised; choose a layer below"
                )
        names = [block.name for block in blocks]
        for name in how.blocks or ():
            if name not in names:
                raise UnknownNameError(f"block of model {model.card.name!r}", name, names)
        self.deepest = [len(above[spec.layer]) for spec in specs]
        depths = {names.index(name) + 1 for name in how.blocks or names} | set(self.deepest)
        self._steps = [
            _Step(
                order,
                names[depth - 1],
                depth,
                blocks[:depth] if order == CASCADING else blocks[depth - 1 : depth],
                Randomisation(seed=seed, statistics=how.statistics),
            )
            for order in how.orders
            for depth in sorted(depths)
            if depth <= max(self.deepest)
            for seed in range(how.seed, how.seed + how.copies)
        ]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[_Step]:
        return iter(self._steps)


def looks_of(
    model: Model,
    specs: Sequence[SaliencySpec],
    images: torch.Tensor,
    indices: Sequence[int],
    compute: Compute,
    outcome: int,
    stop: Callable[[], bool] | None = None,
) -> list[list[Looks]]:
    """What is compared of the maps of an outcome, of tiles (n, C, H, W), by spec."""
    maps = reduced_maps(model, specs, images, indices, compute, outcome, stop)
    return [[Looks(values) for values in of_spec] for of_spec in maps]


def chance_rows(
    spec: SaliencySpec,
    names: Sequence[str],
    seeds: Sequence[int],
    looks: Sequence[Looks],
    draws: int,
) -> Iterator[dict[str, object]]:
    """Rows of `Found.chance` of one spec; seeds are those of each tile's noise."""
    for number, (name, one) in enumerate(zip(names, looks, strict=True)):
        about = {"tile": name} | named(spec)
        for found in chance_similarities(one, seeds[number], draws):
            yield about | {"against": NOISE} | found._asdict()
        for further in range(1, 1 + min(_OTHERS, len(looks) - 1)):
            other = looks[(number + further) % len(looks)]
            yield about | {"against": OTHER_TILES} | similarity(one, other)._asdict()
