"""Insertion and deletion as the papers of I-GOS and iGOS++ measure them: cell by cell of a mask.

The tile is taken apart along the cells of a mask of any size, and put together again on what is
shown in its place, the most hidden cells first; what is followed is the probability as it is, not
its share of the tile's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_smoothsal.attribution.mask_terms import Upsampling
from napari_smoothsal.evaluation.insertion_deletion import Predict

MOST_STEPS = 50
"""So many steps, and a few more where cells do not divide evenly; each cell is one, of few."""

_AT_ONCE = 27


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of deletion, that is to be small, and of insertion."""

    deletion: float
    insertion: float


@dataclass(frozen=True)
class MaskCurves:
    """Probabilities along the way.

    Attributes
    ----------
    shares
        (n + 1,) of the cells that have had their turn: from 0 to 1, the last step may be shorter.
    deletion, insertion
        (n + 1,).
    """

    shares: torch.Tensor
    deletion: torch.Tensor
    insertion: torch.Tensor

    @property
    def areas(self) -> Areas:
        """By trapezoids, over the share of cells."""
        each = (torch.trapezoid(c.double(), self.shares) for c in (self.deletion, self.insertion))
        return Areas(*map(float, each))

    @property
    def published_areas(self) -> Areas:
        """As the authors' code adds them up.

        Every step counts with the score at its end, and the last one with 1 in place of its score:
        w too much of deletion nearly, where w is the last step's share of the cells (0.02 of 7 x 7
        cells, 0.005 of 28 x 28, 0.0005 of 224 x 224).
        """
        widths = self.shares.diff()
        each = []
        for curve in (self.deletion, self.insertion):
            ends = curve[1:].double().clone()
            ends[-1] = 1
            each.append(float((widths * ends).sum()))
        return Areas(*each)

    def settled_at(self, share: float = 0.5) -> float:
        """From which share of the cells on insertion stays at a share of the whole tile's score."""
        below = torch.nonzero(self.insertion < share * self.insertion[-1]).flatten()
        return 0.0 if len(below) == 0 else float(self.shares[int(below[-1]) + 1])


def mask_curves(
    predict: Predict,
    image: torch.Tensor,
    background: torch.Tensor,
    mask: torch.Tensor,
    slopes: torch.Tensor | None = None,
) -> MaskCurves:
    """Take one tile apart and put it together.

    Parameters
    ----------
    predict
        Of the model that is asked.
    image, background
        (C, H, W) 0..1: the tile, and what shows where it is hidden.
    mask
        (cells, cells): lowest first.
    slopes
        (cells, cells) of an optimised mask, many of whose cells are wholly hidden or wholly shown:
        of equal values the steepest goes first. None: they go in the order of their place.
    """
    order = torch.arange(mask.numel())
    if slopes is not None:
        order = slopes.flatten().argsort(descending=True, stable=True)
    order = order[mask.flatten()[order].argsort(stable=True)]
    counts = _counts(len(order))
    turn = torch.empty_like(order)
    turn[order] = torch.arange(len(order))
    upsampled = Upsampling(len(mask), image[0])
    deletion, insertion = [], []
    for some in torch.tensor(counts).split(_AT_ONCE):
        gone = (turn < some[:, None]).to(image.dtype).unflatten(1, mask.shape)
        shown = upsampled(gone)[:, None]
        deletion.append(predict(torch.lerp(image, background, shown)))
        insertion.append(predict(torch.lerp(background, image, shown)))
    shares = torch.tensor(counts, dtype=torch.float64) / len(order)
    return MaskCurves(shares, torch.cat(deletion), torch.cat(insertion))


def _counts(cells: int) -> list[int]:
    """How many cells have had their turn, from none to all."""
    return [*range(0, cells, max(1, cells // MOST_STEPS)), cells]
