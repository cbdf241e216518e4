"""What full colour means in columns beside each other: one value where their values compare."""

from __future__ import annotations

from dataclasses import dataclass

from napari_smoothsal.render.limits import ColourLimit, colour_limit, is_calibrated
from napari_smoothsal.runs import Comparison


@dataclass(frozen=True)
class ColumnsScale:
    """Magnitudes of full colour.

    Attributes
    ----------
    limits
        Of each column alone.
    comparable
        Whether the columns' values are in the same units.
    calibrated
        Whether all of them have useful limits and show only what exceeds them: one that is cut
        beside one that is not would look the cleaner for it.
    shared
        One value for all columns that are comparable: the largest, so that none of them shows more
        as full colour than it would alone.
    in_words
        What a legend says of the scale, by whether it is shared.
    """

    limits: tuple[ColourLimit, ...]
    comparable: bool
    calibrated: bool
    shared: float
    in_words: dict[bool, str]

    def used(self, one_scale: bool) -> list[float]:
        """The columns' magnitudes of full colour, on one scale where they have one."""
        if one_scale and self.comparable:
            return [self.shared] * len(self.limits)
        return [limit.value for limit in self.limits]

    def said(self, one_scale: bool) -> str:
        """What a legend says of it."""
        return self.in_words[one_scale and self.comparable]


def columns_scale(comparison: Comparison) -> ColumnsScale:
    """The scale of a comparison, of the columns that are there.

    Parameters
    ----------
    comparison
        With one column or more.
    """
    calibrated = all(is_calibrated(column.map) for column in comparison.columns)
    limits = tuple(colour_limit(column.map, calibrated) for column in comparison.columns)
    unlike = comparison.unlike
    shared = max(limit.value for limit in limits)
    of = next(limit for limit in limits if limit.value == shared)
    alone = "full colour is another value in each column: colours of two columns do not compare"
    if unlike:
        alone += f" (another {' and '.join(unlike)})"
    one = f"one scale for all columns; {of.in_words}, of the column where that is most"
    return ColumnsScale(limits, not unlike, calibrated, shared, {True: one, False: alone})
