"""What the tables of iGOS++ are made of: one row per tile, method and mask size.

Explained and followed is the class that the model predicts (of a single logit, its class), so that
no labels are needed; where they are known, a tile that is predicted wrongly is marked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import torch

from napari_smoothsal.attribution import METHODS, Explainer
from napari_smoothsal.attribution.baselines import baseline_of
from napari_smoothsal.attribution.noise import Place
from napari_smoothsal.attribution.optimised_masks import OptimisedMasks, optimise_masks
from napari_smoothsal.core.checks import LEAST_PROBABILITY, UNSURE, WRONG
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.asked_model import AskedModel
from napari_smoothsal.evaluation.igos_tables import Entry, IgosTable
from napari_smoothsal.evaluation.insertion_deletion import RANDOM, cells_of
from napari_smoothsal.evaluation.mask_curves import MaskCurves, mask_curves
from napari_smoothsal.evaluation.paper import Tiles, Told, chunks
from napari_smoothsal.evaluation.some_tiles import behind_stain
from napari_smoothsal.models import Model

STILL_SEEN = "seen without the tile"

MOST_WITHOUT = 0.5
"""A class with more than this share of its probability on what shows in place of the tile is seen
without the tile."""

_AT_ONCE = 4
_RANDOM_ORDERS = 3


@dataclass(frozen=True)
class IgosSettings:
    """What can be chosen of a table.

    Attributes
    ----------
    options
        Of methods, by name; what makes a row goes before them.
    layer
        Of Grad-CAM; None: the last one that is fine enough for the table's smallest mask.
    background
        What shows where a tile is hidden, in the methods that optimise masks and in the curves.
    seed
        Of everything that is drawn.
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    layer: str | None = None
    background: str = "blurred"
    seed: int = 0


class Order(NamedTuple):
    """In which order the cells of some tiles go: (B, cells, cells) each, see `mask_curves`."""

    masks: torch.Tensor
    slopes: torch.Tensor | None = None


class Ordered(NamedTuple):
    """How one tile was taken apart."""

    tile: str
    method: str
    mask_px: int
    mask: torch.Tensor
    curves: MaskCurves


@dataclass
class IgosFound:
    """What was measured so far.

    Attributes
    ----------
    rows
        One per tile, method and size.
    ordered
        Of tables with areas, beside the rows.
    pictures
        Tiles, (C, H, W) uint8, by their names; of tables that are drawn.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    ordered: list[Ordered] = field(default_factory=list)
    pictures: dict[str, torch.Tensor] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)


def igos_measured(
    model: Model,
    tiles: Tiles,
    table: IgosTable,
    compute: Compute,
    settings: IgosSettings | None = None,
    labels: Sequence[int] | None = None,
    chosen: Sequence[int] | None = None,
    told: Told = lambda *_: None,
) -> Iterator[IgosFound]:
    """Measure a table, some tiles at a time.

    Parameters
    ----------
    model
        Of one decision per tile.
    tiles
        Of the model's resolution.
    table
        Which.
    compute, settings
        On what, and how.
    labels
        True outcomes of the tiles, where they are known.
    chosen
        Numbers of the tiles that are looked at; None: all.
    told
        Called as it goes on.

    Yields
    ------
    IgosFound
        Always the same one, which grows.

    Raises
    ------
    SmoothsalError
        If the model decides per pixel, an option cannot work, or a tile is too small for a method.
    """
    settings = settings or IgosSettings()
    if model.readout.dense:
        raise SettingError(
            f"model {model.card.name!r} decides per pixel, and insertion and deletion follow one "
            "decision per tile; choose a model that classifies tiles"
        )
    table.checked(settings.options)
    model, tiles = behind_stain(model, tiles)
    asked = AskedModel(model, compute)
    found = IgosFound()
    chosen = range(len(tiles)) if chosen is None else chosen
    for some in chunks(len(chosen), _AT_ONCE):
        indices = [chosen[number] for number in some]
        images = tiles.images(indices)
        subjects = _subjects(asked, tiles, images, indices, settings, labels)
        orders = _Orders(model, table, images, [(number,) for number in indices], compute, settings)
        for size, cells in table.sizes_at(int(min(images.shape[2:]))).items():
            for entry in table.entries:
                told(f"{table.title}: {entry.name}, {cells} cells", some[0], len(chosen))
                if table.measures == "areas":
                    _areas(found, asked, subjects, entry.name, size, orders.of(entry, cells))
                else:
                    values = orders.losses if table.measures == "loss" else orders.seconds
                    about = {"method": entry.name, "mask_size": size, "mask_px": cells}
                    about |= {k: entry.options[k] for k in _PRICED if k in entry.options}
                    for subject, value in zip(subjects, values(entry, cells), strict=True):
                        found.rows.append(subject.row | about | {table.measures: value})
            if table.measures == "areas":
                for order in range(_RANDOM_ORDERS):
                    masks = _random_masks(subjects, cells, order, settings.seed)
                    _areas(found, asked, subjects, RANDOM, size, Order(masks))
        if table.drawn:
            names = [tiles.name(index) for index in indices]
            found.pictures |= dict(zip(names, images, strict=True))
        yield found


_PRICED = ("sparsity", "smoothness")


class _Subject(NamedTuple):
    """A tile: its number, what is asked of it, and what tables say of it."""

    number: int
    image: torch.Tensor
    background: torch.Tensor
    explained: int
    row: dict[str, object]


def _subjects(
    asked: AskedModel,
    tiles: Tiles,
    images: torch.Tensor,
    indices: Sequence[int],
    settings: IgosSettings,
    labels: Sequence[int] | None,
) -> list[_Subject]:
    """Tiles, with what the model says of them and of what shows in their place."""
    card, outcomes = asked.model.card, asked.model.readout.outcomes
    colours = images.float() / 255
    mean = torch.tensor(card.mean).reshape(1, -1, 1, 1)
    made = baseline_of(settings.background).make(colours, mean)
    backgrounds = made.expand_as(colours)
    before, without = asked.probabilities(colours), asked.probabilities(backgrounds)
    subjects = []
    for place, number in enumerate(indices):
        predicted = int(before[place].argmax())
        explained = 0 if len(card.class_names) == 1 else predicted
        probability = float(before[place, explained])
        hidden = float(without[place, explained])
        label = None if labels is None else int(labels[number])
        marks = {
            WRONG: label is not None and predicted != label,
            UNSURE: probability < LEAST_PROBABILITY,
            STILL_SEEN: hidden > MOST_WITHOUT * probability,
        }
        row: dict[str, object] = {
            "tile": tiles.name(number),
            "label": "" if label is None else outcomes[label],
            "explained": outcomes[explained],
            "probability": probability,
            "without_the_tile": hidden,
            "mark": "; ".join(mark for mark, there in marks.items() if there),
        }
        subjects.append(_Subject(number, colours[place], backgrounds[place], explained, row))
    return subjects


def _areas(
    found: IgosFound,
    asked: AskedModel,
    subjects: Sequence[_Subject],
    name: str,
    size: int,
    order: Order,
) -> None:
    """Take tiles apart in the order of their masks."""
    slopes = [None] * len(subjects) if order.slopes is None else order.slopes
    for subject, mask, slope in zip(subjects, order.masks, slopes, strict=True):
        follow = asked.following(subject.explained)
        curves = mask_curves(follow, subject.image, subject.background, mask, slope)
        right, published = curves.areas, curves.published_areas
        tile = str(subject.row["tile"])
        found.ordered.append(Ordered(tile, name, size, mask, curves))
        found.rows.append(
            subject.row
            | {
                "method": name,
                "mask_size": size,
                "mask_px": len(mask),
                "deletion": right.deletion,
                "insertion": right.insertion,
                "deletion_published": published.deletion,
                "insertion_published": published.insertion,
                "settled_at": curves.settled_at(),
            }
        )


def _random_masks(subjects: Sequence[_Subject], cells: int, order: int, seed: int) -> torch.Tensor:
    drawn = []
    for subject in subjects:
        generator = torch.Generator().manual_seed(seed + 1000 * subject.number + order)
        drawn.append(torch.rand(cells, cells, generator=generator))
    return torch.stack(drawn)


class _Orders:
    """What orders the cells of some tiles; nothing is computed twice."""

    def __init__(
        self,
        model: Model,
        table: IgosTable,
        images: torch.Tensor,
        places: Sequence[Place],
        compute: Compute,
        settings: IgosSettings,
    ) -> None:
        self._model, self._images, self._places = model, images, places
        self._compute, self._settings = compute, settings
        self._side = int(min(images.shape[2:]))
        self._layer = settings.layer or grad_cam_layer(model, table)
        self._optimised: dict[str, OptimisedMasks] = {}
        self._maps: dict[str, torch.Tensor] = {}

    def of(self, entry: Entry, cells: int) -> Order:
        """Of a table's row, for masks of so many cells."""
        spec = self._spec(entry, cells)
        if entry.optimised:
            key = json.dumps([entry.method, spec.method_options], sort_keys=True)
            if key not in self._optimised:
                self._optimised[key] = self._optimise(spec)
            found = self._optimised[key]
            slopes = found.slopes_of(entry.part) if entry.by_slope else None
            return Order(getattr(found, entry.part), slopes)
        if entry.method not in self._maps:
            explained = self._explainer(spec).explain(self._images, self._places)
            self._maps[entry.method] = explained.specs[0].maps.sum(1)
        info = self._model.layer(spec.layer)
        maps = self._maps[entry.method]
        return Order(-cells_of(maps, info.stride, info.centre, self._side, cells).float())

    def losses(self, entry: Entry, cells: int) -> list[float]:
        """Of the mask, the objective of equation 4 after all iterations.

        The last line of a trace is from before its step: so one iteration more is done. Of two
        masks it is that of their product alone, which is what a single mask has.
        """
        spec = self._spec(entry, cells)
        options = METHODS[entry.method].options(**spec.method_options).model_dump()
        one_more = {**spec.method_options, "iterations": options["iterations"] + 1}
        spec = spec.model_copy(update={"method_options": one_more})
        masks = self._optimise(spec)
        # The probabilities count half where there are two masks; see `Igos`.
        times = masks.masks.shape[1]
        found = []
        for trace in masks.traces:
            terms = trace[-1].terms
            scores = terms["deletion"] + terms["insertion"]
            found.append(times * scores + terms["sparsity"] + terms["smoothness"])
        return found

    def seconds(self, entry: Entry, cells: int) -> list[float]:
        """For each tile alone, once everything is ready."""
        explainer, found = self._explainer(self._spec(entry, cells)), []
        for image, place in zip(self._images, self._places, strict=True):
            began = time.perf_counter()
            explainer.explain(image[None], [place])
            found.append(time.perf_counter() - began)
        return found

    def _optimise(self, spec: SaliencySpec) -> OptimisedMasks:
        return optimise_masks(self._model, self._images, spec, self._compute, self._places)

    def _explainer(self, spec: SaliencySpec) -> Explainer:
        return Explainer(self._model, [spec], self._compute, scope="tiles", warn=False)

    def _spec(self, entry: Entry, cells: int) -> SaliencySpec:
        options = entry.told(cells, self._side, self._settings.options)
        if entry.optimised:
            options = {"fill": self._settings.background} | options
        return SaliencySpec(
            layer=self._layer if entry.method == "grad_cam" else "input",
            method=entry.method,
            denoising="original",
            samples=0,
            target="auto",
            seed=self._settings.seed,
            method_options=options,
        )


def grad_cam_layer(model: Model, table: IgosTable) -> str:
    """The last layer whose maps are as fine as a table's smallest mask is on 224 px."""
    fine = [info for info in model.layers() if max(info.stride) <= table.coarsest_px]
    return fine[-1].name
