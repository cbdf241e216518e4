"""Calibration: how strong a map is where there is nothing to see, and how that is measured.

A calibrated map is shown only where the model's probability of the explained class, and the
value of the map itself, are above what normal tissue and randomised copies of the model reach.
Here, where nothing needs torch, so that stores and legends can say it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.specs import SaliencySpec

OF_NOISE = {"seed", "samples", "max_standard_error"}
"""Fields of a spec that change a map within its standard error only."""

LEAST_SHOWN = 0.5
"""Of tiles with the target: limits that leave fewer are not used unless one asks for them."""


class CalibrationCheck(Settings):
    """How the limits are measured."""

    error_rate: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Share of normal tiles, and of tiles of randomised models, that may show "
        "anything.",
    )
    copies: int = Field(39, ge=1, le=1000, description="Randomised copies of the model.")
    copy_tiles: int = Field(8, ge=1, description="Tiles that each of them is shown.")
    map_tiles: int = Field(
        60,
        ge=1,
        description="Normal tiles whose maps are computed, for how strong they are; of models that "
        "decide per pixel all are.",
    )
    stain: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="The limits also hold where haematoxylin and eosin are so much more or less.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Of the random copies and their tiles.")


class Calibration(Settings):
    """The limits of one kind of map of one model.

    A place is shown where the probability of the target in its tile is above ``probability``, and
    the magnitude of the map above ``limit``.
    """

    schema_version: Literal[1] = Field(1, repr=False)
    spec: dict[str, Any] = Field(description="What is calibrated; see `calibrated_as`.")
    target: str = Field(description="In words, as maps have it.")
    surrogate: str | None = Field(None, description="Hash of the surrogate's weights, where used.")
    limit: float = Field(ge=0, description="Magnitude above which the map is shown.")
    probability: float | None = Field(
        description="Of the target, above which a tile is shown; None of models that decide per "
        "pixel, whose limit is of whole tiles' largest magnitudes."
    )
    full_colour: float = Field(ge=0, description="The 99.9th percentile on the normal tissue.")
    error_rate: float = Field(gt=0, lt=1)
    expected: tuple[float, float] = Field(
        description="Where the share of normal tiles that show anything lies with 95 %."
    )
    decided_by: Literal["normal tissue", "randomised copies"] | None = Field(
        None, description="Which of the two asked for more; None of older files, which do not say."
    )
    above: int | None = Field(
        None, ge=0, description="Of the normal tiles it was measured on, those above the limit."
    )
    tiles: int = Field(ge=1, description="Normal tiles it was measured on.")
    tissue: str | None = Field(
        None, description="What those are of, in words; None where nothing is to be said of them."
    )
    tile_px: int = Field(ge=1, description="Their side.")
    copies: int = Field(ge=1, description="Randomised copies it was measured on.")
    stain: float = Field(ge=0)
    predicted: float = Field(
        ge=0,
        le=1,
        description="Share of the normal tiles predicted as the target; of their pixels, of "
        "models that decide per pixel.",
    )
    shown: float | None = Field(
        None, ge=0, le=1, description="Share of tiles with the target that show something."
    )

    @property
    def useful(self) -> bool:
        """Whether it leaves something to see where the target is, as far as was measured."""
        return self.shown is None or self.shown >= LEAST_SHOWN

    def differs_from(
        self, spec: SaliencySpec, target: str, surrogate: str | None, tile_px: int
    ) -> list[str]:
        """What a map has otherwise than those that were measured; empty where these are its limits.

        Parameters
        ----------
        spec
            Settled, as it is computed.
        target
            In words.
        surrogate
            Hash of the weights of its model's surrogate.
        tile_px
            Side of its tiles. Limits of models that decide per pixel are of whole tiles' strongest
            places, and hold for tiles of one size.
        """
        wanted = calibrated_as(spec)
        pairs = {name: (wanted.get(name), self.spec.get(name)) for name in wanted | self.spec}
        now, then = ("some" if noisy else 0 for noisy in pairs.pop("noisy"))
        pairs |= {"samples": (now, then), "target": (target, self.target)}
        if self.surrogate is not None:
            pairs["surrogate"] = (surrogate, self.surrogate)
        if self.probability is None:
            pairs["tile_px"] = (tile_px, self.tile_px)
        return [
            f"{name} = {is_now!r} (measured: {was!r})"
            for name, (is_now, was) in pairs.items()
            if is_now != was
        ]

    @property
    def in_words(self) -> str:
        """For a legend."""
        rate = f"{100 * self.error_rate:g} %"
        where = f"above the strongest {rate} of normal tissue"
        if self.probability is not None:
            where += f", in tiles of p({self.target}) > {in_digits(self.probability)}"
        low, high = (f"{100 * share:.2g}" for share in self.expected)
        interval = f" (95 % interval {low} to {high} %)"
        if self.decided_by == "randomised copies":
            normal = f"{self.above} of {self.tiles} normal tiles{interval}"
        else:
            normal = f"at most {rate} of normal tiles"
            normal += interval if self.decided_by else ""
            normal += f", measured on {self.tiles}"
        other = "tissue of other laboratories was not measured"
        if self.tissue is not None:
            other = f"normal tissue is {self.tissue}, and no other was measured"
        return (
            f"calibrated: shown only {where}. So something shows in {normal}, and in at most "
            f"{rate} of tiles with {self.copies} random copies of the model; {other}"
        )


def closest_calibration(
    calibrations: Iterable[Calibration],
    spec: SaliencySpec,
    target: str,
    surrogate: str | None,
    tile_px: int,
) -> tuple[Calibration | None, list[str]]:
    """The limits of a map, or in what it differs from the one most like it.

    Parameters
    ----------
    calibrations
        That were measured of the model.
    spec, target, surrogate, tile_px
        Of the map; see `Calibration.differs_from`.
    """
    found = [(one, one.differs_from(spec, target, surrogate, tile_px)) for one in calibrations]
    one, differing = min(found, key=lambda pair: len(pair[1]), default=(None, []))
    return (None, differing) if differing else (one, [])


def spread(count: int, most: int) -> list[int]:
    """As many of ``count`` indices as may be taken, spread over all of them.

    What lies side by side is often of one slide.
    """
    taken = min(count, most)
    return [number * count // taken for number in range(taken)]


def in_digits(probability: float) -> str:
    """With as many digits as tell it from 1."""
    digits = 2 if probability < 0.99 else math.ceil(-math.log10(max(1 - probability, 1e-9)))
    return f"{probability:.{digits}f}"


def calibrated_as(spec: SaliencySpec) -> dict[str, Any]:
    """What a calibration must agree in: all of a settled spec but its noise and its target.

    Without any noise samples a map is another one, however many there are otherwise.
    """
    fields = spec.model_dump(mode="json", exclude={*OF_NOISE, "target", "schema_version"})
    return fields | {"noisy": spec.samples != 0}
