"""The tests of a trust card: each asks one thing of a map, and has a threshold that is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation.faithful_maps import DECIDES
from napari_smoothsal.evaluation.insertion_deletion import Curves, area_under
from napari_smoothsal.evaluation.kept_class import of_the_other
from napari_smoothsal.evaluation.sanity import NOISE, Found
from napari_smoothsal.evaluation.sanity_verdict import DEPENDS, IN_PART, sanity_verdicts
from napari_smoothsal.evaluation.stability import SHIFT, STAIN
from napari_smoothsal.models import Decision, Model

PASSED, PARTLY, FAILED, UNTESTED = "passed", "in part", "not passed", "not tested"
_NO_RANKS = "a map that is the same everywhere has no ranks to compare"


@dataclass(frozen=True)
class Tested:
    """One test of a map.

    Attributes
    ----------
    name
        A word or two.
    question
        What is asked.
    found
        What was measured, in words.
    threshold
        What had to be reached, in words.
    result
        `PASSED`, `PARTLY`, `FAILED` or `UNTESTED`.
    value
        The number that decides; None where there is none.
    """

    name: str
    question: str
    found: str
    threshold: str
    result: str
    value: float | None


def flags(
    model: Model,
    spec: SaliencySpec,
    decision: Decision,
    outcome: int,
    truth: int | None,
    given: float,
    how: TrustCheck,
) -> list[str]:
    """What to be wary of in a prediction, in words.

    Parameters
    ----------
    model, decision
        What it says of the tile.
    spec
        Of the map.
    outcome, truth
        The class that is explained, and the true one or None.
    given
        Probability of the explained class.
    how
        Thresholds.
    """
    names = model.readout.outcomes
    predicted = int(decision.predicted[0])
    flags = []
    if predicted != outcome:
        flags.append(
            f"the model predicts {names[predicted]!r}, and the map explains {names[outcome]!r}"
        )
    if given < how.least_probability:
        flags.append(
            f"the model gives {names[outcome]!r} only {given:.2f} (below "
            f"{how.least_probability:g}), so there is little to explain"
        )
    if truth is not None and predicted != truth:
        flags.append(
            f"the prediction {names[predicted]!r} is wrong: the tile is {names[truth]!r}, and the "
            "map shows what misled the model"
        )
    if of_the_other(model, spec, outcome):
        flags.append(
            f"the model has one score, that of {names[1 - outcome]!r}, and the map is of it: there "
            f"is no sign by which it could be turned round to be of {names[outcome]!r}"
        )
    return flags


def beyond_random(curves: Curves, random: tuple[Curves, ...], how: TrustCheck) -> list[Tested]:
    """Deletion and insertion against random orders, where there is something to take away."""
    tests = []
    for name, more, question in (
        ("deletion", False, "Does the probability fall when what is important is taken away?"),
        ("insertion", True, "Does it rise when what is important is put back?"),
    ):
        curve = getattr(curves, name)
        area = area_under(curve)
        areas = [area_under(getattr(c, name)) for c in random]
        low, high = min(areas), max(areas)
        side, best, worst = ("more", high, low) if more else ("less", low, high)
        beyond, reverse = (area > high, area < low) if more else (area < low, area > high)
        found, needed = _told_apart(area, best)
        threshold = f"{side} than each of {len(areas)} random orders (at best {needed})"
        whole, blank = (float(p) for p in (curve[[-1, 0]] if more else curve[[0, -1]]))
        if whole - blank < how.least_fall:
            lacking = "before any of it is put back" if more else "once all of it is taken away"
            said = (
                "nothing of this tile can be missed: the model gives the class "
                f"{blank:.2f} {lacking}, and {whole:.2f} as it is"
            )
            tests.append(Tested(name, question, said, threshold, UNTESTED, None))
            continue
        words = f"area {found}"
        if reverse:
            found, passed = _told_apart(area, worst)
            words = (
                f"area {found}, {'less' if more else 'more'} than each random order ({passed}): "
                "the map may point away from the class"
            )
        tests.append(Tested(name, question, words, threshold, PASSED if beyond else FAILED, area))
    return tests


def randomised(found: Found, *, refitted: bool = True) -> Tested:
    """What is left of the map in random copies, against noise as smooth.

    Parameters
    ----------
    found
        Of the tile.
    refitted
        Whether running statistics of the copies were fitted to it.
    """
    row = sanity_verdicts(found).set_index("measure").loc[DECIDES]
    results = {DEPENDS: PASSED, IN_PART: PARTLY}
    known = bool(np.isfinite(row["kept"]))
    copies = f"{row['copies']} random copies"
    if not refitted:
        copies += "; running statistics as trained, one tile cannot refit them"
    similarity, chance = _told_apart(row["similarity"], row["chance_high"])
    return Tested(
        "randomisation",
        "Is the map another one without what the model has learned above the layer? (One that is "
        "turned round, against the class for what is for it, passes as well.)",
        f"rank correlation {similarity} with maps of {copies}" if known else _NO_RANKS,
        f"{chance} or less, as noise as smooth reaches" if known else "as little as noise has",
        results.get(row["verdict"], FAILED) if known else UNTESTED,
        float(row["similarity"]) if known else None,
    )


def stable(changed: pd.DataFrame, how: TrustCheck) -> list[Tested]:
    """The map of the tile stained, and cut, a little otherwise."""
    tests = []
    for kind, name, question in (
        (STAIN, "other stain", "Is it the same where the tile is stained 10 % more or less?"),
        (SHIFT, "shifted tile", "Is it the same where the tile is cut a few px beside?"),
    ):
        value = float(changed.loc[changed["change"] == kind, DECIDES].mean())
        known = bool(np.isfinite(value))
        told, _ = _told_apart(value, how.least_correlation)
        tests.append(
            Tested(
                name,
                question,
                f"rank correlation {told} on average" if known else _NO_RANKS,
                f"{how.least_correlation:g} or more",
                (PASSED if value >= how.least_correlation else FAILED) if known else UNTESTED,
                value if known else None,
            )
        )
    return tests


def precise(error: float, how: TrustCheck) -> Tested:
    """The map's standard error; NaN where it has none."""
    known = bool(np.isfinite(error))
    told, _ = _told_apart(error, how.most_error)
    return Tested(
        "standard error",
        "Would other noise samples have given the same map?",
        f"relative standard error {told}" if known else "there are no noise samples",
        f"{how.most_error:g} or less",
        (PASSED if error <= how.most_error else FAILED) if known else UNTESTED,
        error if known else None,
    )


def _told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both with two digits, or as many as show which of them is larger."""
    digits = next((n for n in range(2, 17) if round(value, n) != round(limit, n)), 2)
    return f"{value:.{digits}f}", f"{limit:.{digits}f}"


def chance_band(found: Found) -> tuple[float, float]:
    """Between which 95 % of single comparisons with noise as smooth as the map lie."""
    drawn = found.chance.loc[found.chance["against"] == NOISE, DECIDES].dropna()
    if drawn.empty:
        return np.nan, np.nan
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
