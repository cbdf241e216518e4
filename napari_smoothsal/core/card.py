"""The model card: what a network is, what it wants as input and what its outputs mean."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.stain import StainNormalisation, StainRange

FINEST_MPP, COARSEST_MPP = 0.02, 16.0
"""Resolutions of a tile that anybody has a use for: an oil immersion scan has 0.05 to 0.1, a
thumbnail of a slide that fits a screen 10."""

LARGEST_MOMENT = 4.0
"""Mean and std of values from 0 to 1 are below 1; scalings to other ranges have up to 2."""


class ModelCard(Settings):
    """What travels with the weights: classes, resolution, normalisation, provenance.

    Raises
    ------
    SettingError
        Where fields are missing or contradict each other.
    """

    schema_version: Literal[1] = Field(1, repr=False)
    name: str = Field(min_length=1, description="Name of the model.")
    kind: Literal["classification", "segmentation"] = Field(
        description="One decision per tile, or one per pixel."
    )
    class_names: tuple[str, ...] = Field(min_length=1, description="Classes, in output order.")
    class_colours: tuple[str, ...] | None = Field(
        None, description="Colours of the classes in class maps, #rrggbb, in the same order."
    )
    default_target: str | None = Field(
        None, description="Class that is explained when none is asked for."
    )
    background: str | None = Field(None, description="Class that means: nothing of interest.")
    input_size: int = Field(ge=1, description="Side of a tile, in pixels.")
    input_mpp: float | None = Field(
        None, gt=0, description="Micrometres per pixel of a tile; None where nobody knows."
    )
    input_mpp_range: tuple[float, float] | None = Field(
        None, description="Finest and coarsest resolution on which the model was validated."
    )
    resampling: Resampling = Field(
        "area",
        description="How a tile is made of finer pixels: `area`, the exact mean of what a pixel "
        "covers; or as Pillow's resize makes it of the pixels of the slide's finest level.",
    )
    stain_normalisation: StainNormalisation | None = Field(
        None, description="The stain that every tile is brought to; None: tiles stay as they are."
    )
    stain_range: StainRange | None = Field(
        None, description="Stain of the slides that the model was made for; others are warned of."
    )
    mean: tuple[float, ...] = Field(description="Mean of each channel, of values from 0 to 1.")
    std: tuple[float, ...] = Field(description="Standard deviation of each channel, likewise.")
    architecture: dict[str, Any] | None = Field(
        None, description="Library, name and arguments from which the network is built."
    )
    weights_sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the file of weights; others are refused.",
    )
    licence: str | None = Field(
        None, description="Under which the weights may be used, such as CC-BY-4.0."
    )
    training_data: str | None = Field(None, description="On which slides it was trained.")
    intended_use: str | None = Field(None, description="What it is for, and what it is not for.")
    metrics: dict[str, Any] = Field(default_factory=dict, description="Measured figures.")
    notes: str | None = Field(None, description="What else its users should know.")

    @field_validator("class_colours")
    @classmethod
    def _hexadecimal(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for colour in value or ():
            if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
                raise ValueError(f"{colour!r} is not of the form #rrggbb")
        return value

    @field_validator("input_mpp")
    @classmethod
    def _resolution(cls, value: float | None) -> float | None:
        if value is not None and not FINEST_MPP <= value <= COARSEST_MPP:
            raise ValueError(
                f"tiles are looked at with {FINEST_MPP:g} to {COARSEST_MPP:g} um per pixel; give "
                "neither the magnification nor nanometres (40x is about 0.25, 20x about 0.5)"
            )
        return value

    @field_validator("mean", "std")
    @classmethod
    def _of_unit_values(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if max(map(abs, value), default=0) > LARGEST_MOMENT:
            raise ValueError(
                "that looks to be of values from 0 to 255, and values from 0 to 1 are meant; "
                "divide it by 255"
            )
        return value

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value, default=0) <= 0:
            raise ValueError("every channel's standard deviation must be above 0")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"class names repeat: {self.class_names}")
        if self.class_colours is not None and len(self.class_colours) != len(self.class_names):
            raise ValueError(
                f"{len(self.class_colours)} class_colours for {len(self.class_names)} classes"
            )
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels, std {len(self.std)}")
        if self.stain_normalisation is not None and len(self.mean) != 3:
            raise ValueError(
                f"stain_normalisation is of red, green and blue; mean has {len(self.mean)} channels"
            )
        for field in ("default_target", "background"):
            name = getattr(self, field)
            # A single-logit model may name the absence of its one class.
            absent_of_one = field == "background" and len(self.class_names) == 1
            if name is not None and name not in self.class_names and not absent_of_one:
                raise ValueError(f"{field} {name!r} is not among the classes {self.class_names}")
        if self.input_mpp_range is not None:
            low, high = self.input_mpp_range
            if not 0 < low <= high:
                raise ValueError(
                    f"input_mpp_range {self.input_mpp_range} is not (finest, coarsest)"
                )
        return self
