"""How maps are checked: what the checks of `napari_smoothsal.evaluation` can be told.

Here, where nothing needs torch, so that flags of commands can be made of it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from napari_smoothsal.core.settings import Settings

LEAST_PROBABILITY = 0.8
"""A prediction with less is weak."""
MOST_ERROR = 0.1
"""A map with a larger relative standard error would be another one if it were drawn anew."""
WRONG = "predicted wrongly"
UNSURE = "weakly predicted"
"""Marks of tiles that are explained like any other: a map of them may be one of what fools the
model."""


def weakly_predicted(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """(n,) where no outcome has a probability of `LEAST_PROBABILITY`.

    Parameters
    ----------
    probabilities
        (n, classes) of tiles; what one logit does not give its class it gives the other outcome.
        Where they are not known nothing is weak.
    """
    if probabilities.shape[1] == 1:
        probabilities = np.concatenate([probabilities, 1 - probabilities], 1)
    return np.asarray(probabilities.max(1) < LEAST_PROBABILITY)


class Randomisation(Settings):
    """How parameters are drawn anew."""

    seed: int = Field(0, ge=0, lt=2**31, description="Of the random parameters.")
    statistics: Literal["refitted", "kept", "reset"] = Field(
        "refitted",
        description="Running statistics of BatchNorms in randomised blocks: `refitted` to the "
        "tiles, as if the network had begun to learn from them; `kept` as they were trained, as "
        "Adebayo et al. have them; or `reset` to mean 0 and variance 1, as Quantus does.",
    )


class SanityCheck(Randomisation):
    """Which blocks are randomised, how often, and what maps are compared with."""

    orders: tuple[Literal["cascading", "independent"], ...] = Field(
        ("cascading",),
        min_length=1,
        description="`cascading` randomises all blocks from the output down to one, "
        "`independent` each block alone.",
    )
    blocks: tuple[str, ...] | None = Field(
        None,
        description="Blocks to stop at; the last one above each layer always is. Unset: all.",
    )
    below: bool = Field(
        False,
        description="Go on below hidden layers, as Adebayo et al. do: the activations that their "
        "maps are made of change, too.",
    )
    copies: int = Field(
        1, ge=1, le=100, description="Random copies of the model, of `seed` and those after it."
    )
    draws: int = Field(10, ge=1, description="Noise maps that each map is compared with.")


class StabilityCheck(Settings):
    """How tiles are changed."""

    stain: float = Field(
        0.1, ge=0, lt=1, description="Haematoxylin and eosin are made so much more and less."
    )
    shift_px: int = Field(
        3,
        ge=1,
        description="Tiles are shifted by so many px, or by the next whole number of layer px.",
    )


class TrustCheck(Settings):
    """What a trust card tests, and what has to be reached."""

    random_orders: int = Field(
        19,
        ge=1,
        description="Random orders that insertion and deletion must be beyond, all of them: a map "
        "that knows nothing is beyond 19 once in 20 times.",
    )
    least_fall: float = Field(
        0.1,
        ge=0,
        le=1,
        description="How much the class's probability must fall with all of the tile, for "
        "insertion and deletion to be tested: where a blank tile keeps it, or a class is given "
        "none, there is nothing to take away.",
    )
    copies: int = Field(
        3, ge=1, le=100, description="Random copies of the model that the map is compared with."
    )
    draws: int = Field(
        20, ge=2, description="Noise maps, as smooth as the map, that say what chance reaches."
    )
    by_block: bool = Field(
        True,
        description="Randomise from the output down block by block, to see where the map lets go. "
        "Else at once, which decides: faster.",
    )
    road: bool = Field(True, description="Measure ROAD, which is told without a threshold.")
    least_correlation: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Rank correlation that maps of the tile stained or cut a little otherwise "
        "must have with its own, on average.",
    )
    most_error: float = Field(
        MOST_ERROR, gt=0, le=1, description="Largest relative standard error over noise samples."
    )
    least_probability: float = Field(
        LEAST_PROBABILITY,
        ge=0,
        le=1,
        description="Below this probability of the explained class the prediction is flagged.",
    )


class Disturbance(Settings):
    """How an image is disturbed."""

    sigma: float = Field(
        0.1,
        gt=0,
        description="Standard deviation of the noise of infidelity, of the normalised image.",
    )
    radius: float = Field(
        0.02, gt=0, le=1, description="Largest change of a colour, 0 to 1, for the sensitivity."
    )
    samples: int = Field(20, ge=2, description="Disturbed images of each measure.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of the noise.")


class Attack(Settings):
    """Momentum iterative fast gradient sign method (Dong et al., CVPR 2018)."""

    eps: float = Field(
        4.0, ge=1, le=255, description="Largest change of a colour, which goes from 0 to 255."
    )
    steps: int = Field(10, ge=1, le=1000, description="Steps of eps / steps each.")
    momentum: float = Field(1.0, ge=0, description="Share of the gradients before that is kept.")
