"""Insertion and deletion of every denoising, against the blur that is as smooth and a random order.

Every map is scored on the original model, also those that explain a changed network: what counts is
what the model that is used rests its decision on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.batch_maps import BatchMaps
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.denoise.gaussian_blur import blurred_to, smoothness
from napari_smoothsal.evaluation.asked_model import AskedModel
from napari_smoothsal.evaluation.insertion_deletion import (
    RANDOM,
    Curves,
    Pieces,
    area_under,
    cells_of,
    curves,
)
from napari_smoothsal.evaluation.kept_class import maps_for
from napari_smoothsal.evaluation.paired import paired
from napari_smoothsal.evaluation.paper import Labelled, Told, Wanted
from napari_smoothsal.evaluation.some_tiles import behind_stain
from napari_smoothsal.models import Model

CONTROL = "blur as smooth as "
LAID_BACK = ", laid back"
_RANDOM_ORDERS = 5


def faithfulness(
    model: Model,
    tiles: Labelled,
    wanted: Wanted,
    how: Perturbation,
    compute: Compute,
    told: Told = lambda *_: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Areas under the curves of every map of every tile; the label is explained and followed.

    Returns
    -------
    areas
        One row per tile and map: ``insertion`` (more is better), ``deletion`` (less is), ``tv``,
        ``placed``: whether displacement was compensated.
    courses
        Mean curves: ``step``, ``insertion``, ``deletion`` by layer, method and denoising.
    """
    labels = np.asarray(tiles.labels)
    model, unlabelled = behind_stain(model, tiles)
    scores = _Scores(model, how, compute)
    done = 0
    for label in np.unique(labels).tolist():
        target, _ = model.readout.score_of(label)
        explainer = Explainer(model, wanted.specs(target), compute, scope="tiles", warn=False)
        for index in np.flatnonzero(labels == label).tolist():
            told("insertion and deletion", done, len(tiles))
            done += 1
            images = unlabelled.images([index])
            pieces = Pieces.of(images[0].float() / 255, torch.tensor(model.card.mean), how)
            tile = _Tile(tiles.name(index), label, pieces)
            scores.add_maps(tile, explainer, explainer.explain(images, [(index,)]))
            scores.add_random(tile, index)
    return pd.DataFrame(scores.rows), _mean_courses(scores.courses)


class _Tile(NamedTuple):
    name: str
    label: int
    pieces: Pieces


class _Key(NamedTuple):
    layer: str
    method: str
    denoising: str
    placed: bool = False


class _Scores:
    """Curves of one map after the other, all on the model as it is."""

    def __init__(self, model: Model, how: Perturbation, compute: Compute) -> None:
        self.rows: list[dict[str, object]] = []
        self.courses: dict[_Key, list[Curves]] = {}
        self._model, self._how = model, how
        self._asked = AskedModel(model, compute)

    def add_maps(self, tile: _Tile, explainer: Explainer, found: BatchMaps) -> None:
        """All maps of one tile, each with the blur of the original that is as smooth."""
        originals = {
            (spec.layer, spec.method): maps.maps
            for spec, maps in zip(explainer.specs, found.specs, strict=True)
            if spec.denoising == "original"
        }
        for number, (spec, maps) in enumerate(zip(explainer.specs, found.specs, strict=True)):
            key = _Key(spec.layer, spec.method, spec.denoising)
            self._add(tile, spec, key, maps.maps, (0.0, 0.0))
            moved = explainer.displacements[number]
            if moved.compensated:
                self._add(tile, spec, key._replace(placed=True), maps.maps, moved.placed_px)
            if spec.denoising != "original":
                raw = originals[spec.layer, spec.method]
                smooth, _ = blurred_to(raw, smoothness(maps.maps))
                control = key._replace(denoising=CONTROL + spec.denoising)
                self._add(tile, spec, control, smooth, (0.0, 0.0))

    def add_random(self, tile: _Tile, seed: int) -> None:
        """Random orders: the floor."""
        cells = self._how.cells
        for order in range(_RANDOM_ORDERS):
            generator = torch.Generator().manual_seed(1000 * seed + order)
            importance = torch.rand(cells, cells, generator=generator)
            self._follow(tile, _Key("", "", RANDOM), importance, np.nan)

    def _add(
        self,
        tile: _Tile,
        spec: SaliencySpec,
        key: _Key,
        maps: torch.Tensor,
        moved: tuple[float, float],
    ) -> None:
        info = self._model.layer(key.layer)
        centre = (info.centre[0] - moved[0], info.centre[1] - moved[1])
        reduced = maps_for(self._model, spec, maps, tile.label).sum(1)
        side = tile.pieces.image.shape[-1]
        cells = cells_of(reduced, info.stride, centre, side, self._how.cells)[0]
        self._follow(tile, key, cells, float(total_variation(maps)[0]))

    def _follow(self, tile: _Tile, key: _Key, importance: torch.Tensor, tv: float) -> None:
        taken = curves(self._asked.following(tile.label), tile.pieces, importance, self._how)
        self.courses.setdefault(key, []).append(taken)
        areas = {"insertion": area_under(taken.insertion), "deletion": area_under(taken.deletion)}
        self.rows.append(
            {"tile": tile.name, "label": tile.label, **key._asdict(), **areas, "tv": tv}
        )


def comparison(
    areas: pd.DataFrame, pairs: Sequence[tuple[str, str]], seed: int = 0
) -> pd.DataFrame:
    """Paired differences of denoisings on the same tiles, with intervals and tests.

    Parameters
    ----------
    areas
        From `faithfulness`.
    pairs
        Names of denoisings, with `LAID_BACK` where displacement was compensated, or `RANDOM`: the
        first less the second.

    Returns
    -------
    pandas.DataFrame
        By layer, method and pair: mean difference, 95 % bootstrap interval over tiles (of ten
        tiles or more), and the
        p-value of Wilcoxon's signed-rank test (two-sided, of one comparison).
    """
    rows = []
    generator = np.random.default_rng(seed)
    laid = areas["denoising"].where(~areas["placed"], areas["denoising"] + LAID_BACK)
    areas = areas.assign(denoising=laid)
    is_floor = areas["denoising"] == RANDOM
    for (layer, method), maps in areas[~is_floor].groupby(["layer", "method"], sort=False):
        part = pd.concat([maps, areas[is_floor]])
        wide = {
            name: part.pivot_table(index="tile", columns="denoising", values=name)
            for name in ("insertion", "deletion")
        }
        for one, other in pairs:
            for name, values in wide.items():
                if one not in values or other not in values:
                    continue
                difference = (values[one] - values[other]).dropna().to_numpy()
                rows.append(
                    {
                        "layer": layer,
                        "method": method,
                        "denoising": one,
                        "against": other,
                        "score": name,
                        **paired(difference, generator)._asdict(),
                    }
                )
    return pd.DataFrame(rows)


def _mean_courses(courses: dict[_Key, list[Curves]]) -> pd.DataFrame:
    frames = []
    for (layer, method, denoising, placed), taken in courses.items():
        insertion = torch.stack([c.insertion for c in taken]).mean(0).numpy()
        frames.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "method": method,
                    "denoising": denoising,
                    "placed": placed,
                    "step": np.arange(len(insertion)),
                    "insertion": insertion,
                    "deletion": torch.stack([c.deletion for c in taken]).mean(0).numpy(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
