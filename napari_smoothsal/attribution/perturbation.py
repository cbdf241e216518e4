"""What a method that changes the image does to one tile, and what it makes of the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class PerturbedTile:
    """A tile, as a method that changes it needs to know it.

    Attributes
    ----------
    image
        (C, H, W) as the network sees it: normalised, on its device.
    colours
        (C, H, W) the same, 0..1.
    normalised
        From colours (n, C, H, W), 0..1, to what the network sees.
    mpp
        Micrometres per pixel; None where the model's card does not say.
    seed
        Of whatever is drawn: a function of the spec's seed and of the tile's place on the slide,
        so that a tile is perturbed alike whatever batch it is in.
    """

    image: torch.Tensor
    colours: torch.Tensor
    normalised: Callable[[torch.Tensor], torch.Tensor]
    mpp: float | None
    seed: int


class Perturbation(ABC):
    """All that is done to one tile; the scores come back a few at a time.

    Attributes
    ----------
    count
        How many changed images there are; one of them may be the tile itself.
    caveat
        What to tell the user, once: that there is nothing to change and the map is zero, or too
        little to tell how certain it is.
    """

    count: int
    caveat: str = ""

    @abstractmethod
    def images(self, which: Sequence[int]) -> torch.Tensor:
        """(n, C, H, W) changed images, as the network sees them, of consecutive numbers."""

    @abstractmethod
    def add(self, which: Sequence[int], scores: torch.Tensor) -> None:
        """Take in the scores (n,) of some; each comes once, and in ascending order."""

    @abstractmethod
    def result(self) -> torch.Tensor:
        """(1, H, W) the map that the scores so far, at least one, make; float32 or wider."""

    def relative_standard_error(self) -> float:
        """Of the map so far, of methods that draw; else NaN."""
        return float("nan")

    def convergence_delta(self) -> float:
        """By how much the map's values miss the score less the covered tile's; NaN: they may."""
        return float("nan")
