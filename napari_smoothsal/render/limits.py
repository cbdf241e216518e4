"""What full colour means: symmetric, one for a whole map, and, where it can be, for every slide.

And what is said of maps that are shown only where they exceed what normal tissue reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_smoothsal.core.calibration import Calibration
    from napari_smoothsal.runs import RunMap

PERCENTILE = 99.0

LimitOf = Literal["normal tissue", "first map", "this map"]

IN_WORDS: dict[LimitOf, str] = {
    "normal tissue": "as strong as the strongest 0.1 % of the model's normal tissue",
    "first map": "the 99th percentile of the first map with these settings",
    "this map": "stretched, the 99th percentile of this map",
}


@dataclass(frozen=True)
class ColourLimit:
    """Magnitude that gets the full colour.

    Attributes
    ----------
    value
        Above 0.
    of
        What it was measured on.
    """

    value: float
    of: LimitOf

    @property
    def in_words(self) -> str:
        """For a legend."""
        return f"full colour: {IN_WORDS[self.of]}"


def colour_limit(run_map: RunMap, calibrated: bool = True) -> ColourLimit:
    """The limit of a map: that of normal tissue where the model brings some, else its own.

    With the first one a colour means the same on every slide and in every view.

    Parameters
    ----------
    run_map
        Of which map.
    calibrated
        Whether it is shown by its limits, if they are useful: full colour is of the tissue that
        they were measured on, then. That has more tiles and stains than what the model brings,
        and so stronger ones, which must not be compared with maps without limits.
    """
    limits = run_map.calibration if calibrated and is_calibrated(run_map) else None
    if limits is not None and limits.full_colour:
        return ColourLimit(limits.full_colour, "normal tissue")
    if run_map.normal_magnitude is not None:
        return ColourLimit(run_map.normal_magnitude, "normal tissue")
    return stretched_limit(run_map)


def is_calibrated(run_map: RunMap) -> bool:
    """Whether a map is shown, if nothing else is asked for, only where it exceeds its limits."""
    return run_map.calibration is not None and run_map.calibration.useful


def said_of(run_map: RunMap, calibrated: bool = True) -> list[str]:
    """What a legend says of a map's limits, where it has some.

    Parameters
    ----------
    run_map
        Which may have them.
    calibrated
        Whether they are used as far as they are useful.
    """
    return calibration_in_words(run_map.calibration, calibrated and is_calibrated(run_map))


def calibration_in_words(calibration: Calibration | None, used: bool) -> list[str]:
    """The same of limits that are used or not."""
    if calibration is None:
        return []
    if used:
        return [calibration.in_words]
    if calibration.useful or calibration.shown is None:
        return ["not calibrated: normal tissue may look alike"]
    return [
        "not calibrated: normal tissue may look alike (what exceeds it is shown in "
        f"{100 * calibration.shown:.0f} % of tiles of {calibration.target} only)"
    ]


def stretched_limit(run_map: RunMap) -> ColourLimit:
    """The 99th percentile of the magnitudes of a map's coarsest level of extremes; 1 if empty.

    That level shows the whole slide in at most 1024 px, each the strongest of those below it, so
    the limit of a large slide is somewhat higher than that of its finest level.
    """
    return ColourLimit(run_map.largest_magnitude(PERCENTILE) or 1.0, "this map")
