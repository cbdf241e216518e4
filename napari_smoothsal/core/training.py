"""SurrogateTraining: how a surrogate is trained; what the flags of the command are made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_smoothsal.core.settings import Settings


class SurrogateTraining(Settings):
    """How a surrogate is trained."""

    steps: int = Field(3000, ge=1, description="Batches, at most.")
    batch_tiles: int = Field(16, ge=1, description="Tiles of a batch.")
    rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of Adam, at its highest.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Whether the learning rate falls to zero along a `cosine`, or stays."
    )
    start: Literal["least_squares", "random"] = Field(
        "least_squares",
        description="First weights: fitted by alternating `least_squares`, or `random`.",
    )
    start_rounds: int = Field(3, ge=1, le=100, description="Rounds of that fit.")
    compare_steps: int = Field(
        300,
        ge=0,
        description="For so many steps a surrogate of the other start learns beside it, for its "
        "curve in the picture.",
    )
    validation: float = Field(
        0.1, gt=0, lt=1, description="Share of the tiles that are held out and measured on."
    )
    validate_every: int = Field(50, ge=1, description="Steps between two such measurements.")
    patience: int = Field(
        20, ge=1, description="It stops after so many measurements without a better one."
    )
    checkpoint_every: int = Field(
        50, ge=1, description="Steps between two checkpoints, from which it resumes."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Of first weights, batches and hold-out.")
