"""The tables of Smooth Deep Saliency of models that decide per pixel, on tiles with masks.

Accuracy is of pixels, prediction difference is the masked one of the paper's section 3.2, and maps
explain the class that a tile shows most of: `ByMainClass` gives tiles that label, so that
`napari_smoothsal.evaluation.paper` measures them as any others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.evaluation import paper
from napari_smoothsal.evaluation.overlap import (
    Overlap,
    check_labels,
    check_not_black_and_white,
    confusion,
    enlarged,
    outcomes_of,
)
from napari_smoothsal.evaluation.prediction_difference import (
    main_class,
    masked_prediction_difference,
)
from napari_smoothsal.models import Model


class MaskedTiles(paper.Tiles, Protocol):
    """Tiles of one size with the class of each pixel."""

    def mask(self, index: int) -> NDArray[np.integer[Any]]:
        """(H, W) as `overlap` takes it."""


class ByMainClass:
    """Masked tiles as `Labelled`: by their most frequent class other than the background.

    Tiles without one are left out. Every mask is read once, so that a bad one is told at once.

    Parameters
    ----------
    model
        One that decides per pixel.
    tiles
        With masks.

    Attributes
    ----------
    labels
        Main class of each tile that has one.
    left_out
        Number of tiles without.

    Raises
    ------
    SettingError
        If a mask has labels that are no class, or no tile shows anything but background.
    """

    def __init__(self, model: Model, tiles: MaskedTiles) -> None:
        seen: set[int] = set()
        found = []
        for index in range(len(tiles)):
            mask = tiles.mask(index)
            seen |= set(np.unique(mask).tolist())
            truth = outcomes_of(mask, model)
            check_labels(truth, model.readout.outcomes, tiles.name(index))
            found.append(int(_main_class(truth[None], model)))
        check_not_black_and_white(seen)
        self._tiles = tiles
        self._members = [index for index, label in enumerate(found) if label >= 0]
        self.labels = [found[index] for index in self._members]
        self.left_out = len(found) - len(self.labels)
        if not self.labels:
            raise SettingError(
                f"none of the {len(tiles)} tiles with masks shows anything but "
                f"{model.readout.background!r}, so there is no class to explain; give tiles that "
                "show another one"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """As tables call a tile."""
        return self._tiles.name(self._members[index])

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) uint8."""
        return self._tiles.images([self._members[i] for i in indices])


@dataclass(frozen=True)
class MaskedPredictions:
    """What a model and its changed versions say of pixels.

    Attributes
    ----------
    frame
        One row per tile and network, as `paper.predictions` has it. ``correct`` is the share of
        pixels that are right, ``label`` the tile's main class; differences are NaN where a tile
        shows only background (label -1), or the model has its main class nowhere in sight.
    overlaps
        Pixels by true and predicted class, by denoising.
    """

    frame: pd.DataFrame
    overlaps: dict[str, Overlap]

    def accuracy_table(self) -> pd.DataFrame:
        """Table 2: per cent of pixels right as the mean over tiles and of all pixels (pooled), and
        the mean over classes of Dice of all pixels."""
        table = paper.accuracy_table(self.frame)
        pooled = {name: each.tables.sum(axis=0) for name, each in self.overlaps.items()}
        table["pooled_pct"] = [100 * _right(pooled[name]) for name in table["denoising"]]
        table["mean_dice"] = [
            float(pd.Series(self.overlaps[name].pooled).mean()) for name in table["denoising"]
        ]
        return table


def predictions(
    model: Model, tiles: MaskedTiles, compute: Compute, told: paper.Told = lambda *_: None
) -> MaskedPredictions:
    """What the model and its changed versions say of each pixel (Tables 2 and 3).

    Parameters
    ----------
    model
        One that decides per pixel; with a surrogate, that is measured as well.
    tiles
        With masks.
    compute, told
        On what; called as it goes on.

    Raises
    ------
    SettingError
        If the model decides per tile or has no strided convolution, or a mask is wrong.
    """
    if not model.readout.dense:
        raise SettingError(
            f"model {model.card.name!r} decides once per tile; masks are for models that decide "
            "per pixel, so give labels instead"
        )
    names, explainer = paper.changed_networks(model, compute)
    outcomes = model.readout.outcomes
    rows: list[dict[str, object]] = []
    tables: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    for indices in paper.chunks(len(tiles), paper.tiles_at_once(explainer, tiles)):
        told("predictions", indices[0], len(tiles))
        truth = np.stack([outcomes_of(tiles.mask(i), model) for i in indices])
        labels = _main_class(truth, model).tolist()
        explanation = explainer.begin(tiles.images(indices), [(i,) for i in indices])
        original = _dense(explanation.decision.dense_probabilities)
        for name, decision in zip(
            names, [explanation.decision, *explanation.explained], strict=True
        ):
            difference = masked_prediction_difference(
                original,
                _dense(decision.dense_probabilities),
                torch.from_numpy(truth.astype(np.int64)),
                model.readout.background_index,
            )
            for row, index in enumerate(indices):
                predicted = enlarged(decision.labels[row].numpy(), model, truth[row])
                table = confusion(truth[row], predicted, outcomes, tiles.name(index))
                tables[name].append(table)
                rows.append(
                    {
                        "tile": tiles.name(index),
                        "label": labels[row],
                        "denoising": name,
                        "correct": _right(table),
                        "difference_all": float(difference.all_classes[row]),
                        "difference_target": float(difference.target_class[row]),
                    }
                )
    overlaps = {name: Overlap(outcomes, np.stack(each)) for name, each in tables.items()}
    return MaskedPredictions(pd.DataFrame(rows), overlaps)


def _right(table: NDArray[np.int64]) -> float:
    """Share of the pixels of a `confusion` table that are right; NaN of none."""
    return float(np.trace(table) / table.sum()) if table.any() else float("nan")


def _main_class(truth: NDArray[np.integer[Any]], model: Model) -> torch.Tensor:
    labels = torch.from_numpy(truth.astype(np.int64))
    return main_class(labels, len(model.card.class_names), model.readout.background_index)


def _dense(probabilities: torch.Tensor | None) -> torch.Tensor:
    assert probabilities is not None  # of every model that decides per pixel
    return probabilities
