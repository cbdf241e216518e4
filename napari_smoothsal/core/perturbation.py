"""Perturbation: how insertion and deletion take tiles apart."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_smoothsal.core.settings import Settings


class Perturbation(Settings):
    """How tiles are taken apart."""

    cells: int = Field(
        28, ge=2, le=512, description="A tile is cut into so many cells along each side."
    )
    steps: int = Field(28, ge=1, le=10_000, description="Steps from the first to the last cell.")
    deletion: str = Field(
        "zero", description="What a deleted cell shows: a baseline, as of DeepLift."
    )
    insertion: str = Field(
        "blurred", description="What a cell that is not yet inserted shows: a baseline."
    )
    edges: Literal["nearest", "bilinear"] = Field(
        "nearest", description="Whether cells are cut out sharply, or fade into each other."
    )
