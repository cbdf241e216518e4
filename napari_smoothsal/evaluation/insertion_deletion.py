"""Insertion and deletion: does the decision follow what a map calls important?

Cells of the tile are taken away, or put back into a baseline, the most important ones first, and
the probability of the explained class is followed (Petsiuk et al., RISE, 2018). A good map makes
it fall early, or rise early. The floor is a random order: on many models it is high already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.core.perturbation import Perturbation

RANDOM = "random order"
"""What tables call the floor."""

Pair = tuple[float, float]

Predict = Callable[[torch.Tensor], torch.Tensor]
"""From images (n, C, H, W), 0..1, to probabilities (n,) of the explained class."""


@dataclass(frozen=True)
class Curves:
    """Probabilities along the way.

    Attributes
    ----------
    deletion, insertion
        (steps + 1,) from the first image to the last.
    """

    deletion: torch.Tensor
    insertion: torch.Tensor


def area_under(curve: torch.Tensor) -> float:
    """Area under a curve (steps + 1,) over the share of cells, by trapezoids: 0 to 1.

    The published code of I-GOS and iGOS++ lets the last step count as 1 whatever the score.
    """
    return float(torch.trapezoid(curve.double()) / (len(curve) - 1))


def cells_of(
    maps: torch.Tensor, stride: Pair, centre: Pair, tile_px: int, cells: int
) -> torch.Tensor:
    """Mean of a reduced map in each cell of its tile.

    Parameters
    ----------
    maps
        (B, h, w) reduced maps.
    stride, centre
        Of the layer in tile px, (y, x); take displacement off the centre to compensate it.
    tile_px, cells
        Side of the tile, and cells along it.

    Returns
    -------
    torch.Tensor
        (B, cells, cells). Between the map's pixels it is linear, beyond the outermost constant, so
        that maps of any layer meet on the same cells.
    """
    positions = torch.arange(tile_px, dtype=torch.float64)
    grid = []
    for axis, size in ((1, maps.shape[2]), (0, maps.shape[1])):
        at = (positions - centre[axis]) / stride[axis]
        grid.append((2 * at + 1) / size - 1)
    x, y = grid
    places = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1)
    fine = F.grid_sample(
        maps[:, None].double(),
        places[None].expand(len(maps), -1, -1, -1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return F.adaptive_avg_pool2d(fine, cells)[:, 0]


@dataclass(frozen=True)
class Pieces:
    """One tile, and what its cells show without it.

    Attributes
    ----------
    image, removed, empty
        (1, C, H, W), 0..1: the tile, what deletion ends at, and what insertion starts from.
    """

    image: torch.Tensor
    removed: torch.Tensor
    empty: torch.Tensor

    @classmethod
    def of(cls, image: torch.Tensor, mean: torch.Tensor, how: Perturbation) -> Pieces:
        """Of an image (C, H, W), 0..1, and the mean (C,) of the card, for the baseline ``zero``."""
        tile, colour = image[None], mean.reshape(1, -1, 1, 1)
        removed = BASELINES[how.deletion].make(tile, colour)
        return cls(tile, removed, BASELINES[how.insertion].make(tile, colour))


def curves(predict: Predict, pieces: Pieces, importance: torch.Tensor, how: Perturbation) -> Curves:
    """Take one tile apart and put it together, the most important cells first.

    Parameters
    ----------
    predict
        Of the model that is asked.
    pieces
        The tile.
    importance
        (cells, cells); equal values in the order of their place.
    how
        Cells, steps, baselines.
    """
    order = importance.flatten().argsort(descending=True, stable=True)
    shown = _shown(order, how)
    masks = shown.reshape(-1, 1, how.cells, how.cells)
    size = pieces.image.shape[2:]
    if how.edges == "nearest":
        masks = F.interpolate(masks, size, mode="nearest-exact")
    else:
        masks = F.interpolate(masks, size, mode="bilinear", align_corners=False)
    deleted = predict(torch.lerp(pieces.image, pieces.removed, masks))
    inserted = predict(torch.lerp(pieces.empty, pieces.image, masks))
    return Curves(deleted, inserted)


def _shown(order: torch.Tensor, how: Perturbation) -> torch.Tensor:
    """(steps + 1, cells * cells): 1 where a cell has had its turn; none has at first, all at
    last."""
    count = len(order)
    shown = torch.zeros(how.steps + 1, count)
    for step in range(1, how.steps + 1):
        shown[step, order[: round(step * count / how.steps)]] = 1
    return shown
