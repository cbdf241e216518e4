"""FollowedTile: one tile whose score is followed while maps say what of it goes and what comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.evaluation.asked_model import AskedModel
from napari_smoothsal.evaluation.insertion_deletion import Curves, Pieces, cells_of, curves
from napari_smoothsal.evaluation.road import road
from napari_smoothsal.models import Model

Pair = tuple[float, float]


class Places(NamedTuple):
    """Where the pixels of a layer's map lie, in tile px, (y, x).

    Attributes
    ----------
    stride, centre
        Of a map's pixels, and the middle of the first one.
    """

    stride: Pair
    centre: Pair


def places_of(explainer: Explainer, number: int = 0) -> Places:
    """Of the maps of one of an explainer's specs, displacement taken back where it is."""
    layer, moved = explainer.layers[number], explainer.displacements[number]
    back = moved.placed_px if moved.compensated else (0.0, 0.0)
    return Places(layer.stride, (layer.centre[0] - back[0], layer.centre[1] - back[1]))


def asked_of(model: Model, compute: Compute) -> AskedModel:
    """A model whose decisions are followed.

    Raises
    ------
    SettingError
        If it decides per pixel.
    """
    if model.readout.dense:
        raise SettingError(
            f"model {model.card.name!r} decides per pixel, and insertion, deletion and ROAD follow "
            "one decision per tile; choose a model that decides per tile, or `smoothsal evaluate "
            "--sanity`, which takes both"
        )
    return AskedModel(model, compute)


class FollowedTile:
    """One square tile.

    Parameters
    ----------
    asked
        From `asked_of`: every map is scored on the model as it is.
    image
        (C, H, W) uint8.
    outcome
        Whose probability is followed.
    how
        Cells, steps and baselines.
    """

    def __init__(
        self, asked: AskedModel, image: torch.Tensor, outcome: int, how: Perturbation
    ) -> None:
        self.outcome = outcome
        self._how = how
        self._predict = asked.following(outcome)
        self._image = image.float() / 255
        self._pieces = Pieces.of(self._image, torch.tensor(asked.model.card.mean), how)

    def curves(self, reduced: torch.Tensor, places: Places) -> Curves:
        """Insertion and deletion by a reduced map (h, w) that speaks for the outcome."""
        cells = self._pooled(reduced, places, self._how.cells)
        return curves(self._predict, self._pieces, cells, self._how)

    def road(self, reduced: torch.Tensor, places: Places, seed: int) -> float:
        """See `road`."""
        pixels = self._pooled(reduced, places, self._image.shape[-1])
        return road(self._predict, self._image, pixels, seed)

    def random_curves(self, orders: int, seed: int) -> Iterator[Curves]:
        """Insertion and deletion in one random order after another: the floor."""
        generator = torch.Generator().manual_seed(seed)
        shape = (self._how.cells, self._how.cells)
        for _ in range(orders):
            order = torch.rand(shape, generator=generator)
            yield curves(self._predict, self._pieces, order, self._how)

    def random_road(self, orders: int, seed: int) -> list[float]:
        """ROAD of random cells."""
        generator = torch.Generator().manual_seed(seed)
        side, cells = self._image.shape[-1], self._how.cells
        places = Places((side / cells,) * 2, (side / cells / 2 - 0.5,) * 2)
        drawn = [torch.rand((cells, cells), generator=generator) for _ in range(orders)]
        return [self.road(order, places, seed) for order in drawn]

    def _pooled(self, reduced: torch.Tensor, places: Places, cells: int) -> torch.Tensor:
        side = self._image.shape[-1]
        return cells_of(reduced[None], places.stride, places.centre, side, cells)[0]
