"""``rise``: how much better the score is where random masks let the image through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch.nn import functional as F

from napari_smoothsal.attribution.base import METHODS, PerturbationMethod
from napari_smoothsal.attribution.masking import Masked, MaskedOptions, generator_of
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models.exact import exact

_Drawn = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Of n masks, R (n, cells, H), G (n, cells, cells) and C (n, cells, W); see `Rise`."""


class RiseOptions(MaskedOptions):
    """What RISE can be told."""

    masks: int = Field(
        2000,
        ge=2,
        description="How many random masks the tile is seen through; four times as many halve "
        "the map's error.",
    )
    cells: int = Field(
        7,
        ge=1,
        description="How many cells a mask has along each side of the tile: more show finer "
        "structures and need more masks.",
    )
    p1: float = Field(
        0.5, gt=0, lt=1, description="Share of the cells that let the tile through, 0 to 1."
    )
    centred: bool = Field(
        True,
        description="Subtract the mean of all scores: a value says how far the score is above "
        "its mean where a pixel is seen. Off: the paper's formula, for scores from 0 to 1; "
        "logits give it an offset that differs from tile to tile.",
    )


class Rise(Perturbation):
    """A tile behind random masks.

    A mask M is a grid G of Bernoulli(p1) cells, upsampled bilinearly to one cell more than the
    tile and seen through a window at a random place: M = R^T G C with the windows' weights R and
    C of the grid's rows and columns. With scores f and N masks the map is, of a pixel x,

        S(x) = 1 / (N p1) sum_i (f_i - offset) M_i(x)

    where the offset is 0 in the paper (equation 6): S(x) estimates E[f | M(x) = 1]. ``centred``
    takes the mean of f: E[f | M(x) = 1] - E[f].
    """

    def __init__(self, tile: PerturbedTile, options: RiseOptions) -> None:
        sides = tile.image.shape[1:]
        if options.cells > min(sides):
            raise SettingError(
                f"method 'rise': {options.cells} cells do not fit along {min(sides)} px; choose "
                f"at most {min(sides)}"
            )
        self.count = options.masks
        self._tile, self._options = tile, options
        self._windows = [_windows(options.cells, side).to(tile.image) for side in sides]
        self._masked = Masked(tile, options.fill)
        self._last: tuple[tuple[int, ...], _Drawn] | None = None
        # Sums over the masks so far: of the masks, as they are or less p1; of the scores; of both
        # multiplied; and, for the error, of |mask|^2 times the scores to the power of 0, 1, 2.
        self._seen = 0
        self._masks = tile.image.new_zeros(sides)
        self._scores = exact(tile.image.new_zeros(()))
        self._products = tile.image.new_zeros(sides)
        self._squares = exact(tile.image.new_zeros(3))

    def images(self, which: Sequence[int]) -> torch.Tensor:
        rows, grids, columns = self._drawn(which)
        columns = columns.repeat_interleave(self._masked.channels, 2)
        return self._masked.through(rows.mT @ (grids @ columns))

    def add(self, which: Sequence[int], scores: torch.Tensor) -> None:
        rows, grids, columns = self._drawn(which)
        if self._options.centred:
            # The masks add up to N p1 only roughly, which times the mean score would be noise.
            grids = grids - self._options.p1
        weighted = grids * scores.to(grids.dtype)[:, None, None]
        # A sum of products of matrices is the product of what lies side by side.
        left = rows.flatten(0, 1).mT
        self._masks.addmm_(left, (grids @ columns).flatten(0, 1))
        self._products.addmm_(left, (weighted @ columns).flatten(0, 1))
        squares = exact(((rows @ rows.mT @ grids) * (grids @ columns @ columns.mT)).sum((1, 2)))
        scores = exact(scores)
        self._squares += torch.stack([(squares * scores**power).sum() for power in range(3)])
        self._scores += scores.sum()
        self._seen += len(scores)

    def result(self) -> torch.Tensor:
        total = self._products - self._offset().to(self._masks.dtype) * self._masks
        return (total / (self._seen * self._options.p1))[None]

    def relative_standard_error(self) -> float:
        if self._seen < 2:
            return float("nan")
        offset, (ones, scores, squares) = self._offset(), self._squares
        squared = (squares - 2 * offset * scores + offset.square() * ones) / self._options.p1**2
        mean = exact(self.result()).square().sum()
        variance = (squared / self._seen - mean).clamp(min=0) / (self._seen - 1)
        return float((variance / mean).sqrt())

    def _drawn(self, which: Sequence[int]) -> _Drawn:
        # Asked for twice: to make the images, and to take in their scores.
        numbers = tuple(which)
        if self._last is None or self._last[0] != numbers:
            self._last = numbers, self._draw(numbers)
        return self._last[1]

    def _draw(self, which: Sequence[int]) -> _Drawn:
        cells, seed = self._options.cells, self._tile.seed
        drawn = torch.stack(
            [torch.rand(cells**2 + 2, generator=generator_of(seed, number)) for number in which]
        )
        grids = (drawn[:, :-2] < self._options.p1).unflatten(1, (cells, cells))
        rows, columns = (
            windows[(drawn[:, axis - 2] * len(windows)).long().to(windows.device)]
            for axis, windows in enumerate(self._windows)
        )
        return rows, grids.to(rows), columns

    def _offset(self) -> torch.Tensor:
        return self._scores / self._seen * float(self._options.centred)


def _windows(cells: int, side: int) -> torch.Tensor:
    """(places, cells, side): what each cell weighs at each px, of every place of the window."""
    cell = math.ceil(side / cells)
    upsampled = F.interpolate(torch.eye(cells)[None], size=cell * (cells + 1), mode="linear")[0]
    return upsampled.unfold(1, side, 1)[:, :cell].transpose(0, 1)


RISE = METHODS.register(
    PerturbationMethod(
        name="rise",
        title="RISE: how much higher the score is where random masks leave the image to be seen",
        positive="supports",
        negative="speaks against",
        options=RiseOptions,
        perturb=Rise,
    )
)
"""Randomized input sampling for explanation (Petsiuk et al. 2018); see `Rise`."""
