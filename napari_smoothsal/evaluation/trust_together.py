"""What the trust cards of several tiles say together: test by test, as curves, and in plain words.

A test counts as passed where it was passed on every tile on which it could be made: one map that
fails is not made up for by others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.evaluation.trust_measuring import TrustPart
from napari_smoothsal.evaluation.trust_tests import FAILED, PARTLY, PASSED, UNTESTED, Tested

ORDER = (
    "deletion",
    "insertion",
    "randomisation",
    "other stain",
    "shifted tile",
    "standard error",
)

MEANS: dict[str, dict[str, str]] = {
    "deletion": {
        PASSED: "without what the map shows, the model doubts its class sooner than by chance",
        FAILED: "what the map shows can go, and the model is as sure as where anything else goes",
        UNTESTED: "the model is as sure of its class on a blank tile: nothing can be taken away",
    },
    "insertion": {
        PASSED: "what the map shows is enough for the class, sooner than any random part",
        FAILED: "what the map shows is no better reason for the class than any random part",
        UNTESTED: "the model is as sure of its class on a blurred tile: nothing can be put back",
    },
    "randomisation": {
        PASSED: "the map comes from what the model has learned",
        PARTLY: "a part of the map is there without anything learned",
        FAILED: "the map looks alike without anything learned: it shows the picture, not the model",
        UNTESTED: "the map is the same everywhere, so that there is nothing to compare",
    },
    "other stain": {
        PASSED: "a little more or less of each dye leaves the map as it is",
        FAILED: "a little more or less of each dye gives another map",
        UNTESTED: "the map is the same everywhere, so that there is nothing to compare",
    },
    "shifted tile": {
        PASSED: "the map stays on its structures where the tile is cut a little beside",
        FAILED: "where the tile is cut a little beside, the map lies elsewhere",
        UNTESTED: "the map is the same everywhere, so that there is nothing to compare",
    },
    "standard error": {
        PASSED: "other noise samples would have given the same map",
        FAILED: "other noise samples would have given another map: take more of them",
        UNTESTED: "there are no noise samples whose scatter could be measured",
    },
}
"""What a result of a test says, in plain words."""


@dataclass(frozen=True)
class JoinedTest:
    """One test of the maps of several tiles.

    Attributes
    ----------
    tests
        Of each tile on which it is decided, with the tile's number.
    """

    tests: tuple[tuple[int, Tested], ...]

    @property
    def name(self) -> str:
        """A word or two."""
        return self.tests[0][1].name

    @property
    def question(self) -> str:
        """What is asked."""
        return self.tests[0][1].question

    @property
    def result(self) -> str:
        """The worst of the tiles on which it could be made."""
        found = {test.result for _, test in self.tests}
        return next(one for one in (FAILED, PARTLY, PASSED, UNTESTED) if one in found)

    @property
    def means(self) -> str:
        """What that says, in plain words."""
        return MEANS[self.name][self.result]

    def where(self, result: str) -> list[Tested]:
        """Of the tiles with a result."""
        return [test for _, test in self.tests if test.result == result]


class DrawnCurves(NamedTuple):
    """Insertion or deletion, as it is drawn: (steps + 1,) each.

    Attributes
    ----------
    tiles
        By the map of each tile.
    mean
        Of those.
    low, high
        Between which the means of the same tiles lie in random orders; empty before there are any.
    """

    tiles: tuple[NDArray[np.float64], ...]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def joined_tests(parts: Sequence[TrustPart]) -> tuple[JoinedTest, ...]:
    """Every test that is decided on one tile or more."""
    found = []
    for name in ORDER:
        of_tiles = [
            (number, test)
            for number, part in enumerate(parts)
            for test in part.tests
            if test.name == name
        ]
        if of_tiles:
            found.append(JoinedTest(tuple(of_tiles)))
    return tuple(found)


def drawn_curves(
    parts: Sequence[TrustPart], which: Literal["deletion", "insertion"]
) -> DrawnCurves | None:
    """Of those tiles whose curves are known; None where no tile's are.

    Random orders are the same for all tiles, so that the mean over tiles of each of them is what
    the maps' mean stands against.
    """
    known = [part for part in parts if part.curves is not None]
    if not known:
        return None
    tiles = tuple(np.asarray(getattr(part.curves, which).numpy(), np.float64) for part in known)
    orders = min(len(part.random_curves) for part in known)
    random = [
        np.mean([getattr(part.random_curves[k], which).numpy() for part in known], axis=0)
        for k in range(orders)
    ]
    nothing = np.zeros(0)
    low, high = (np.min(random, 0), np.max(random, 0)) if random else (nothing, nothing)
    return DrawnCurves(tiles, np.mean(tiles, axis=0), low, high)


def verdict_of(tests: Sequence[JoinedTest], parts: Sequence[TrustPart], whole: int) -> str:
    """What came of it, in plain words.

    Parameters
    ----------
    tests, parts
        Of the tiles so far.
    whole
        On how many tiles all tests are decided.
    """
    made = [test for test in tests if test.result != UNTESTED]
    tiles = "1 tile" if whole == 1 else f"{whole} tiles"
    said = ["None of the tests could be made."]
    if made:
        passed = sum(test.result == PASSED for test in made)
        said = [f"The map passed {passed} of {len(made)} tests on {tiles}."]
    for result in (FAILED, PARTLY):
        of_it = [(test, test.where(result)) for test in made]
        words = [_of(test, found) for test, found in of_it if found]
        said += [f"{result.capitalize()}: {'; '.join(words)}."] if words else []
    left = [test for test in tests if test.result == UNTESTED]
    if left:
        said.append(f"Not tested: {'; '.join(f'{t.name} ({t.means})' for t in left)}.")
    if cautions := _counted([flag for part in parts for flag in part.flags], len(parts)):
        said.append(f"Caution: {'; '.join(cautions)}.")
    said.append(
        "This is of how the map stands to the model here, not of whether the model is right."
    )
    return " ".join(said)


def _of(test: JoinedTest, found: Sequence[Tested]) -> str:
    if len(test.tests) == 1:
        return f"{test.name} ({found[0].found}; asked for: {found[0].threshold})"
    return f"{test.name} on {len(found)} of {len(test.tests)} tiles ({found[0].found})"


def _counted(flags: Iterable[str], tiles: int) -> list[str]:
    """With on how many tiles, where there are several."""
    where = "" if tiles == 1 else " (on {} of {} tiles)"
    return [flag + where.format(count, tiles) for flag, count in Counter(flags).items()]
