"""Maps of single tiles side by side, as Figures 5 to 8 of Smooth Deep Saliency show them.

Computed here, drawn in `napari_smoothsal.render.panels_figure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.base import verbs_of
from napari_smoothsal.attribution.batch_maps import BatchMaps
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.evaluation.kept_class import maps_for
from napari_smoothsal.evaluation.paper import Labelled, Told, Wanted
from napari_smoothsal.models import Decision, Model

Pair = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One map of one tile.

    Attributes
    ----------
    layer, denoising
        Its row and its column.
    values
        (h, w), signed: the sum over channels.
    stride, centre
        (y, x) in tile px: of a map pixel, and of the first one's middle; a displacement is taken
        off where it is compensated.
    moved
        By so much, (y, x) in tile px.
    tv
        Total variation of the raw map.
    """

    layer: str
    denoising: str
    values: NDArray[np.floating]
    stride: Pair
    centre: Pair
    moved: Pair
    tv: float


@dataclass(frozen=True)
class TilePanels:
    """One tile and its maps by one method.

    Attributes
    ----------
    number
        Of the tile, from 1.
    model, tile, label, method
        Names; the label is explained.
    verbs
        What values above and below zero say of the label; see `verbs_of`.
    said
        What the model gives the tile, in words.
    picture
        (H, W, 3) uint8.
    panels
        Row by row.
    """

    number: int
    model: str
    tile: str
    label: str
    method: str
    verbs: tuple[str, str]
    said: str
    picture: NDArray[np.uint8]
    panels: tuple[Panel, ...]


def panels(
    model: Model,
    tiles: Labelled,
    wanted: Wanted,
    compute: Compute,
    how_many: int,
    told: Told = lambda *_: None,
) -> list[TilePanels]:
    """Maps of some tiles, by method; the label is explained.

    Parameters
    ----------
    model, tiles, wanted, compute
        Whose maps, of what, which, on what.
    how_many
        Tiles, as `chosen` has them.
    told
        Called as it goes on.
    """
    picked = chosen(tiles.labels, how_many)
    found: dict[int, list[TilePanels]] = {}
    for label in sorted({int(tiles.labels[i]) for i in picked}):
        target, _ = model.readout.score_of(label)
        explainer = Explainer(model, wanted.specs(target), compute, scope="tiles", warn=False)
        for index in (i for i in picked if tiles.labels[i] == label):
            told("pictures of maps", len(found), len(picked))
            images = tiles.images([index])
            result = explainer.explain(images, [(index,)])
            name = PurePath(tiles.name(index)).name
            about = _Tile(1 + picked.index(index), name, label, images[0].movedim(0, -1).numpy())
            found[index] = _of_tile(explainer, result, wanted, about)
    return [each for index in picked for each in found[index]]


def chosen(labels: Sequence[int], how_many: int) -> list[int]:
    """Indices of tiles, as many of each class as there can be, spread evenly over each class.

    Parameters
    ----------
    labels
        Class of each tile.
    how_many
        Tiles in all; the first classes have one more where it does not come out even.
    """
    members = {c: np.flatnonzero(np.asarray(labels) == c).tolist() for c in sorted({*labels})}
    counts = dict.fromkeys(members, 0)
    for _ in range(min(how_many, len(labels))):
        room = [c for c in members if counts[c] < len(members[c])]
        counts[min(room, key=lambda c: counts[c])] += 1
    return [
        of_class[(2 * k + 1) * len(of_class) // (2 * counts[c])]
        for c, of_class in members.items()
        for k in range(counts[c])
    ]


class _Tile(NamedTuple):
    number: int
    name: str
    label: int
    picture: NDArray[np.uint8]


def _of_tile(
    explainer: Explainer, result: BatchMaps, wanted: Wanted, tile: _Tile
) -> list[TilePanels]:
    model = explainer.model
    by_method: dict[str, dict[tuple[str, str], Panel]] = {m: {} for m in wanted.methods}
    for number, (spec, maps) in enumerate(zip(explainer.specs, result.specs, strict=True)):
        info, displacement = explainer.layers[number], explainer.displacements[number]
        moved = displacement.placed_px
        by_method[spec.method][spec.layer, spec.denoising] = Panel(
            layer=spec.layer,
            denoising=spec.denoising,
            values=maps_for(model, spec, maps.maps, tile.label)[0].sum(0).numpy(),
            stride=info.stride,
            centre=(info.centre[0] - moved[0], info.centre[1] - moved[1]),
            moved=moved,
            tv=float(total_variation(maps.maps)[0]),
        )
    return [
        TilePanels(
            number=tile.number,
            model=model.card.name,
            tile=tile.name,
            label=model.readout.outcomes[tile.label],
            method=method,
            verbs=verbs_of(next(s for s in explainer.specs if s.method == method)),
            said=_said(model, result.decision, tile.label),
            picture=tile.picture,
            panels=tuple(at[y, d] for y in wanted.layers for d in wanted.denoisings),
        )
        for method, at in by_method.items()
    ]


def _said(model: Model, decision: Decision, label: int) -> str:
    outcomes = model.readout.outcomes
    probabilities = decision.probabilities[0]
    if len(probabilities) == 1:
        probabilities = torch.cat([probabilities, 1 - probabilities])
    mean = ", mean over its pixels" if model.readout.dense else ""
    text = f"the model gives {outcomes[label]} a probability of {probabilities[label]:.2f}{mean}"
    predicted = int(decision.predicted[0])
    return text if predicted == label else f"{text}, and predicts {outcomes[predicted]}"
