"""Overlap: how well the classes that a model sees pixel by pixel agree with known masks.

2 |A and B| / (|A| + |B|), Dice, Ecology 1945.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.models import Model
from napari_smoothsal.slides.labelled import MaskedTile

IGNORED = 255
"""Label of pixels that nobody knows the class of."""


def confusion(
    truth: NDArray[np.integer[Any]],
    predicted: NDArray[np.integer[Any]],
    class_names: Sequence[str],
    name: str = "mask",
) -> NDArray[np.int64]:
    """Pixels by true class (rows) and predicted class (columns), without those to ignore.

    Parameters
    ----------
    truth, predicted
        Class indices of equal shape; 255 in the truth is left out.
    class_names
        In the order of the indices.
    name
        Of the mask, for messages.

    Raises
    ------
    SettingError
        If the mask has labels that are no class, or another size.
    """
    if truth.shape != predicted.shape:
        raise SettingError(
            f"{name}: the mask has {_size(truth)} px, its image {_size(predicted)}; they must be "
            "of one size"
        )
    check_labels(truth, class_names, name)
    known = truth != IGNORED
    classes = len(class_names)
    pairs = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def check_labels(
    truth: NDArray[np.integer[Any]], class_names: Sequence[str], name: str = "mask"
) -> None:
    """See that a mask has no labels but classes and 255; raises SettingError otherwise."""
    found = np.unique(truth[truth != IGNORED])
    strange = found[(found < 0) | (found >= len(class_names))]
    if len(strange):
        expected = ", ".join(f"{i} {n}" for i, n in enumerate(class_names))
        listed = ", ".join(map(str, strange[:8].tolist())) + (", ..." if len(strange) > 8 else "")
        raise SettingError(
            f"{name}: the mask has labels that are no class of the model: {listed}. Expected are "
            f"{expected}, and {IGNORED} for pixels to leave out"
        )


def check_not_black_and_white(seen: set[int]) -> None:
    """See that masks with the labels ``seen`` do not mark a class by 255; raises SettingError."""
    if seen == {0, IGNORED}:
        raise SettingError(
            f"the masks hold nothing but 0 and {IGNORED}, which is left out; if {IGNORED} marks a "
            "class, save its index instead"
        )


def dice(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice coefficient of each class of a `confusion` table; NaN where a class has no pixel."""
    sizes = table.sum(axis=0) + table.sum(axis=1)
    result = np.full(len(table), np.nan)
    np.divide(2 * np.diag(table), sizes, out=result, where=sizes > 0)
    return result


@dataclass(frozen=True)
class Overlap:
    """Agreement over a set of masks.

    Attributes
    ----------
    class_names
        In the order of the tables' rows and columns.
    tables
        (N, classes, classes): the `confusion` of each mask.
    """

    class_names: tuple[str, ...]
    tables: NDArray[np.int64]

    @property
    def pooled(self) -> NDArray[np.float64]:
        """(classes,) Dice over the pixels of all masks together."""
        return dice(self.tables.sum(axis=0))

    @property
    def mean_of_tiles(self) -> NDArray[np.float64]:
        """(classes,) mean Dice over those masks that have the class.

        A sliver of a nucleus at an edge counts as much there as a tile full of them.
        """
        per_tile = np.array([dice(table) for table in self.tables])
        present = self.tables.sum(axis=2) > 0
        means = [
            per_tile[has, c].mean() if has.any() else np.nan for c, has in enumerate(present.T)
        ]
        return np.array(means)

    def frame(self) -> pd.DataFrame:
        """One row per class: Dice pooled and per tile, tiles that have it, its pixels."""
        return pd.DataFrame(
            {
                "class": self.class_names,
                "dice": self.pooled,
                "mean_dice_of_tiles": self.mean_of_tiles,
                "tiles_with_class": (self.tables.sum(axis=2) > 0).sum(axis=0),
                "true_px": self.tables.sum(axis=(0, 2)),
                "predicted_px": self.tables.sum(axis=(0, 1)),
            }
        )


def overlap(model: Model, tiles: Iterable[MaskedTile], compute: Compute | None = None) -> Overlap:
    """Compare what a model sees in images with their masks.

    Parameters
    ----------
    model
        One that decides per pixel.
    tiles
        Images at the model's resolution, of any size, with their masks: class indices, or of a
        model with a single logit 1 for its class and 0 for all else.
    compute
        Device and precision.

    Raises
    ------
    SettingError
        If the model decides per tile, there is no tile, or a mask has unknown labels.
    """
    if not model.readout.dense:
        raise SettingError(
            f"model {model.card.name!r} decides once per tile; masks are compared with models that "
            "decide per pixel"
        )
    explainer = Explainer(model, [], compute or Compute(), scope="tiles")
    outcomes = model.readout.outcomes
    tables = []
    seen: set[int] = set()
    for number, tile in enumerate(tiles):
        seen |= set(np.unique(tile.mask).tolist())
        image = torch.from_numpy(np.array(tile.image)).permute(2, 0, 1)[None]
        labels = explainer.explain(image, [(number,)]).decision.labels[0].numpy()
        truth = outcomes_of(tile.mask, model)
        tables.append(confusion(truth, enlarged(labels, model, truth), outcomes, tile.name))
    if not tables:
        raise SettingError("there are no images with masks to compare")
    check_not_black_and_white(seen)
    return Overlap(outcomes, np.stack(tables))


def outcomes_of(mask: NDArray[np.integer[Any]], model: Model) -> NDArray[np.integer[Any]]:
    """A mask as outcomes. Of a single logit a mask's 1 is the class and 0 all else."""
    if len(model.card.class_names) > 1:
        return mask
    return np.where(mask > 1, mask, 1 - np.minimum(mask, 1))


def enlarged(
    labels: NDArray[np.integer[Any]], model: Model, truth: NDArray[np.integer[Any]]
) -> NDArray[np.integer[Any]]:
    """Labels (h, w) of a coarser output, each repeated over the pixels of the truth it is of."""
    assert model.output is not None
    y, x = (round(s) for s in model.output.stride)
    if (y, x) == (1, 1):
        return labels
    large = labels.repeat(y, axis=0).repeat(x, axis=1)
    return np.asarray(
        np.pad(large, ((0, y), (0, x)), mode="edge")[: truth.shape[0], : truth.shape[1]]
    )


def _size(array: NDArray[Any]) -> str:
    return " x ".join(map(str, reversed(array.shape)))
