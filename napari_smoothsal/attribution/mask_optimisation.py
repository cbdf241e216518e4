"""What a method that optimises a mask asks of one tile, step by step, and what it is told.

An optimisation knows neither network nor engine. It asks for the probabilities, or scores, of
images that are mixed from the tile and a background by masks, with or without the gradient, and
goes on once it is told; whoever tells it collects what many tiles ask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass

import torch

from napari_smoothsal.attribution.background import Background
from napari_smoothsal.attribution.mask_terms import Upsampling
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.core.errors import SettingError

_NEARLY_ALL = 0.9
"""Of a tile: a map that is strong all over it says nothing of where to look."""


@dataclass(frozen=True)
class Mixtures:
    """Images that an optimisation wants scored: its background, mixed with the tile.

    Attributes
    ----------
    masks
        (j, H, W) 0..1, on the tile's device: 1 shows the tile.
    which
        (n,) the mask of each image.
    shares
        (n,) what its mask is multiplied by.
    swapped
        (n,) bool: where tile and background have changed places.
    noise
        (n,) number of each image's noise: images of one number see the same; None: no noise.
    weights
        (n,) of the images in the sum whose gradient with respect to the masks is wanted; None:
        none is.
    mirrored
        Whether the network sees the images mirrored, left to right.
    """

    masks: torch.Tensor
    which: torch.Tensor
    shares: torch.Tensor
    swapped: torch.Tensor
    noise: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    mirrored: bool = False


@dataclass(frozen=True)
class Scored:
    """What an optimisation is told.

    Attributes
    ----------
    values
        (n,) probabilities of the target, or scores, on the CPU.
    gradient
        (j, H, W) of their weighted sum, where it was asked for.
    """

    values: torch.Tensor
    gradient: torch.Tensor | None


@dataclass(frozen=True)
class Iteration:
    """One line of the loss trace.

    Attributes
    ----------
    terms
        What each term adds to the objective, by its name, before the step.
    step
        Its length, in units of the gradient; 0 where none was found that lowers the objective.
    after
        The objective after the step, with the same noise; NaN where it was not looked at.
    """

    terms: Mapping[str, float]
    step: float
    after: float

    @property
    def objective(self) -> float:
        """Before the step."""
        return sum(self.terms.values())


Steps = Generator[Mixtures, Scored, None]


class MaskOptimisation(ABC):
    """The optimisation of one tile's mask, or masks.

    Parameters
    ----------
    tile
        The tile.
    background
        Of it.
    mask_px
        Cells of a mask along each side.
    iterations
        How many steps are taken.
    blur_px
        Standard deviation of a blur of the upsampled mask.

    Attributes
    ----------
    tile
        As given.
    background
        As given.
    of_scores
        Whether it is told scores (of a model that decides per pixel their mean over the pixels
        asked about); else probabilities.
    noise_sigma
        Standard deviation of the noise on the mixed images, in units of colours from 0 to 1.
    masks
        (1 or 2, mask_px, mask_px) so far; 1 shows the tile.
    slopes
        Like the masks: how fast the objective rises with each cell, before the last step. Of cells
        at 0 or 1, where they can go no further, it says how far they are from leaving it.
    count
        How many iterations there are.
    trace
        Of those that are done.

    Raises
    ------
    SettingError
        If the mask is finer than the tile.
    """

    of_scores: bool = False
    noise_sigma: float = 0.0

    def __init__(
        self,
        tile: PerturbedTile,
        background: Background,
        mask_px: int,
        iterations: int,
        blur_px: float = 0.0,
    ) -> None:
        height, width = tile.image.shape[1:]
        if mask_px > min(height, width):
            raise SettingError(
                f"mask_px = {mask_px}: a mask cannot be finer than the tile of {width} x {height} "
                f"px; choose {min(height, width)} or less"
            )
        self.tile = tile
        self.background = background
        self.masks = tile.image.new_ones(1, mask_px, mask_px)
        self.slopes = torch.zeros_like(self.masks)
        self.count = iterations
        self.trace: list[Iteration] = []
        self._upsampled = Upsampling(mask_px, tile.image[0], blur_px)
        self._steps: Steps | None = None
        self._asked: Mixtures | None = None
        self._told = 0

    @abstractmethod
    def steps(self) -> Steps:
        """All that is done: gives what it wants scored, and is sent the scores.

        It calls `finish_iteration` at the end of each.
        """

    @property
    def finished(self) -> bool:
        """Whether all iterations are done."""
        return len(self.trace) >= self.count

    @property
    def progress(self) -> float:
        """How many iterations are done, of the present one about how much."""
        return len(self.trace) + 1 - 0.5**self._told

    def ask(self) -> Mixtures:
        """What is to be scored next: the same until `tell` is called."""
        if self._steps is None:
            self._steps = self.steps()
            self._asked = next(self._steps)
        assert self._asked is not None
        return self._asked

    def tell(self, scored: Scored) -> None:
        """Go on with the scores of what was asked for."""
        assert self._steps is not None
        self._told += 1
        try:
            self._asked = self._steps.send(scored)
        except StopIteration:
            self._asked = None

    def finish_iteration(
        self, masks: torch.Tensor, slopes: torch.Tensor, iteration: Iteration
    ) -> None:
        """Keep what an iteration has come to."""
        self.masks, self.slopes = masks, slopes
        self.trace.append(iteration)
        self._told = 0

    @property
    def mask(self) -> torch.Tensor:
        """(mask_px, mask_px): of two masks the product."""
        return self.masks.prod(0)

    @property
    def caveat(self) -> str:
        """What is to be known of the finished mask, in words; empty: nothing.

        Of tiles told alike the words are the same, so that they are said once.
        """
        if float((1 - self.mask).mean()) < _NEARLY_ALL:
            return ""
        return (
            f"masks of some tiles hide nearly all of them after {self.count} iterations, so that "
            "their maps tell nothing apart: give more iterations, or a larger sparsity"
        )

    def result(self) -> torch.Tensor:
        """(1, H, W) the map: how far each pixel is hidden, 0 to 1."""
        return 1 - self._upsampled(self.mask)[None]
