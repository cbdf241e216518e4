"""Every measure of every map: what `smoothsal evaluate --faithfulness` puts side by side.

Each measure has a file of its own; here they meet. Everything is of the class that the model
predicts for a tile as it is, and everything is scored on the model as it is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from napari_smoothsal.attribution import METHODS, Explainer
from napari_smoothsal.attribution.base import ImageMethod
from napari_smoothsal.attribution.reduction import reduce_channels
from napari_smoothsal.core.checks import Disturbance, SanityCheck, StabilityCheck
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.core.total_variation import total_variation
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.bootstrap import mean_of_tiles
from napari_smoothsal.evaluation.followed_tile import (
    FollowedTile,
    Places,
    asked_of,
    places_of,
)
from napari_smoothsal.evaluation.infidelity import infidelity_and_sensitivity
from napari_smoothsal.evaluation.insertion_deletion import RANDOM, area_under
from napari_smoothsal.evaluation.kept_class import (
    kept_target,
    maps_for,
    named,
    one_precision,
    parts_by_class,
)
from napari_smoothsal.evaluation.paper import Tiles, Told
from napari_smoothsal.evaluation.sanity import sanity
from napari_smoothsal.evaluation.sanity_verdict import sanity_verdicts
from napari_smoothsal.evaluation.some_tiles import Some, behind_stain
from napari_smoothsal.evaluation.stability import SHIFT, STAIN, stability
from napari_smoothsal.models import Model

MEASURES = (
    "insertion",
    "deletion",
    "road",
    "tv",
    "auroc",
    "stain",
    "shift",
    "infidelity",
    "sensitivity",
)
"""Of single tiles; the sanity check is of all of them together."""

DECIDES = "spearman"
"""Measure of similarity that the sanity check's verdict is of: ranks of values with their sign."""


_FLOOR = {"layer": "", "method": RANDOM, "denoising": ""}


class Truth(Protocol):
    """What is known of where a class is; `NucleiInTiles` is one."""

    def auroc(self, index: int, outcome: str, reduced: torch.Tensor, places: Places) -> float:
        """How well a map tells it from the rest."""


@dataclass(frozen=True)
class Checks:
    """What is measured, and how.

    Attributes
    ----------
    perturbation
        Of insertion and deletion.
    sanity
        Copies and noise; all blocks above the layer are randomised at once.
    stability, disturbance
        How tiles are changed.
    random_orders
        Of each tile, for the floor.
    few
        So many tiles are enough for the maps of methods that change the image many times; they
        are drawn by chance, of each predicted class in turn.
    """

    perturbation: Perturbation = field(default_factory=Perturbation)
    sanity: SanityCheck = field(default_factory=SanityCheck)
    stability: StabilityCheck = field(default_factory=StabilityCheck)
    disturbance: Disturbance = field(default_factory=lambda: Disturbance(samples=8))
    random_orders: int = 5
    few: int = 2


class FaithfulMaps:
    """Measures maps of a model on some tiles, one spec after the other.

    Parameters
    ----------
    model, tiles
        Explained. Tiles are square.
    checks
        What is measured.
    compute
        On what; ``precision="auto"`` is fp32.
    truth
        Where the classes are, if that is known.
    told
        Called as it goes on.

    Attributes
    ----------
    by_tile
        One row per tile and map: `MEASURES` and ``seconds``.
    rows
        One row per map, `RANDOM` first, on all tiles and on the few: see `table`.
    """

    def __init__(
        self,
        model: Model,
        tiles: Tiles,
        checks: Checks,
        compute: Compute,
        truth: Truth | None = None,
        told: Told = lambda *_: None,
    ) -> None:
        # Changed pixels come behind a stain normalisation; another stain of the slide before it.
        self._trained, self._given = model, tiles
        model, tiles = behind_stain(model, tiles)
        self._model, self._tiles, self._checks = model, tiles, checks
        self._compute, self._truth, self._told = one_precision(compute), truth, told
        asked = asked_of(model, compute)
        self._labels: dict[int, int] = {}
        for label, indices in parts_by_class(model, tiles, self._compute):
            self._labels |= dict.fromkeys(indices, label)
        self._followed = {
            index: FollowedTile(asked, tiles.images([index])[0], label, checks.perturbation)
            for index, label in sorted(self._labels.items())
        }
        self._whole = SanityCheck.model_validate(
            checks.sanity.model_dump() | {"blocks": (blocks_of(model)[-1].name,)}
        )
        self._few = _drawn(self._labels, checks.few)
        floor = self._floor()
        self.by_tile: list[dict[str, Any]] = list(floor.values())
        self._few_floor = _floor_row([floor[index] for index in self._few])
        self.rows: list[dict[str, Any]] = [_floor_row(list(floor.values()))]

    def add(self, spec: SaliencySpec) -> None:
        """Measure one spec's maps.

        Raises
        ------
        SettingError
            If the model cannot be explained so.
        """
        (settled,) = Explainer(self._model, [spec], self._compute, "tiles", warn=False).specs
        costly = isinstance(METHODS[settled.method], ImageMethod)
        chosen = self._few if costly else sorted(self._labels)
        if all(row["tiles"] != len(chosen) for row in self.rows):
            self.rows.insert(1, self._few_floor)
        some = Some(self._given, chosen)
        measured = [self._of_tile(settled, index, costly) for index in chosen]
        frame = pd.DataFrame(measured).set_index("tile")
        self._told("stability", 0, 1)
        changed = stability(self._trained, some, [settled], self._checks.stability, self._compute)
        for kind in (STAIN, SHIFT):
            of_kind = changed[changed["change"] == kind]
            frame[kind] = of_kind.groupby("tile")["spearman"].mean()
        self._told("sanity check", 0, 1)
        found = sanity(self._trained, some, [settled], self._whole, self._compute)
        verdict = sanity_verdicts(found).set_index("measure").loc[DECIDES]
        self.by_tile += frame.reset_index().to_dict("records")
        self.rows.append(
            _row(named(settled), frame)
            | {
                "sanity": verdict["similarity"],
                "sanity_copies_low": verdict["copies_low"],
                "sanity_copies_high": verdict["copies_high"],
                "chance_high": verdict["chance_high"],
                "sanity_verdict": verdict["verdict"],
            }
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per map: means over ``tiles`` of each measure with their 95 % intervals.

        Maps of methods that change the image many times are of few ``tiles``; the second floor is
        of the same.

        ``insertion`` (more is better), ``deletion`` (less), ``road`` (more), ``tv`` (less is
        smoother), ``auroc`` of pixels on nuclei of the class, where they are known; ``stain`` and
        ``shift``, rank correlations with maps of changed tiles; ``infidelity`` and ``sensitivity``,
        at the image; ``sanity``, the rank correlation with maps of randomised copies, the lowest
        and the highest of a copy, ``chance_high``, what noise as smooth reaches in 97.5 %, and the
        verdict; ``seconds`` per tile.
        """
        return pd.DataFrame(self.rows)

    def _floor(self) -> dict[int, dict[str, Any]]:
        """Of each tile, what random orders reach."""
        measured = {}
        for index, tile in self._followed.items():
            self._told("random orders", index, len(self._followed))
            taken = list(tile.random_curves(self._checks.random_orders, index))
            measured[index] = {
                "tile": self._tiles.name(index),
                **_FLOOR,
                "insertion": np.mean([area_under(c.insertion) for c in taken]),
                "deletion": np.mean([area_under(c.deletion) for c in taken]),
                "road": np.mean(tile.random_road(1, index)),
            }
        return measured

    def _of_tile(self, spec: SaliencySpec, index: int, costly: bool) -> dict[str, Any]:
        self._told("maps", index, len(self._labels))
        label, image = self._labels[index], self._tiles.images([index])
        asked = kept_target(self._model, spec, label)
        explainer = Explainer(self._model, [asked], self._compute, "tiles", warn=False)
        began = time.perf_counter()
        (maps,) = explainer.explain(image, [(index,)]).specs
        row: dict[str, Any] = {"tile": self._tiles.name(index), **named(spec)}
        row["seconds"] = time.perf_counter() - began
        row["tv"] = float(total_variation(maps.maps)[0])
        speaking = maps_for(self._model, spec, maps.maps, label)
        reduced, places = reduce_channels(speaking, spec.reduction)[0], places_of(explainer)
        tile = self._followed[index]
        curves = tile.curves(reduced, places)
        row |= {name: area_under(getattr(curves, name)) for name in ("insertion", "deletion")}
        row["road"] = tile.road(reduced, places, index)
        if self._truth is not None:
            name = self._model.readout.outcomes[label]
            row["auroc"] = self._truth.auroc(index, name, reduced, places)
        if spec.layer == "input" and spec.channel is None:
            how = self._checks.disturbance
            if costly:
                how = how.model_copy(update={"samples": 2})
            row |= infidelity_and_sensitivity(
                self._model, image[0], asked, how, self._compute
            )._asdict()
        return row


def _drawn(labels: Mapping[int, int], few: int) -> list[int]:
    """Tiles by chance, one of each class, then a second one of each, and so on."""
    generator = np.random.default_rng(0)
    turns = []
    for label in sorted(set(labels.values())):
        members = sorted(index for index, own in labels.items() if own == label)
        drawn = generator.permutation(members).tolist()
        turns += [(turn, generator.random(), index) for turn, index in enumerate(drawn)]
    return sorted(index for _, _, index in sorted(turns)[:few])


def _floor_row(measured: list[dict[str, Any]]) -> dict[str, Any]:
    return _row(_FLOOR, pd.DataFrame(measured))


def _row(about: Mapping[str, object], frame: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {**about} | {"tiles": len(frame)}
    for name in (*MEASURES, "seconds"):
        values = frame[name].to_numpy(float) if name in frame else np.empty(0)
        found = mean_of_tiles(values, np.random.default_rng(0))
        row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return row
