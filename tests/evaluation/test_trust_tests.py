"""The tests of a trust card: what lies on either side of each threshold."""

import numpy as np
import pandas as pd
import pytest
import torch
from corner import corner_model, corner_tile

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.evaluation.asked_model import AskedModel
from napari_smoothsal.evaluation.faithful_maps import DECIDES
from napari_smoothsal.evaluation.insertion_deletion import Curves
from napari_smoothsal.evaluation.map_similarity import Similarity
from napari_smoothsal.evaluation.sanity import NOISE, OTHER_TILES, Found
from napari_smoothsal.evaluation.stability import SHIFT, STAIN
from napari_smoothsal.evaluation.trust_tests import (
    FAILED,
    PARTLY,
    PASSED,
    UNTESTED,
    beyond_random,
    chance_band,
    flags,
    precise,
    randomised,
    stable,
)

HOW = TrustCheck(least_correlation=0.5, most_error=0.1, least_probability=0.8)


def areas_of(deletion: float, insertion: float) -> Curves:
    """Curves from 1 to 0, and from 0 to 1, with these areas."""
    return Curves(
        torch.tensor([1.0, 2 * deletion - 0.5, 0.0]), torch.tensor([0.0, 2 * insertion - 0.5, 1.0])
    )


@pytest.mark.parametrize(
    ("deletion", "insertion", "results"),
    [
        (0.29, 0.71, [PASSED, PASSED]),
        (0.31, 0.71, [FAILED, PASSED]),  # beyond one of the random orders
        (0.29, 0.69, [PASSED, FAILED]),
        (0.3, 0.7, [FAILED, FAILED]),  # no better than the best of them
    ],
)
def test_curves_must_be_beyond_every_random_order(deletion, insertion, results) -> None:
    random = (areas_of(0.4, 0.6), areas_of(0.3, 0.7), areas_of(0.5, 0.5))
    found = beyond_random(areas_of(deletion, insertion), random, HOW)
    assert [test.name for test in found] == ["deletion", "insertion"]
    assert [test.result for test in found] == results
    assert "less than each of 3 random orders (at best 0.30)" in found[0].threshold
    assert "more than each of 3 random orders (at best 0.70)" in found[1].threshold
    assert [test.value for test in found] == pytest.approx([deletion, insertion])


def of_copies(similarity: float) -> Found:
    """A map and a randomised copy, with noise from -0.2 to 0.2."""
    about = {"layer": "l", "method": "m", "denoising": "d", "tile": "t"}
    row = {"order": "cascading", "whole": True, "copy": 0}
    measures = dict.fromkeys(Similarity._fields, similarity)
    noise = [
        about | {"against": NOISE} | dict.fromkeys(Similarity._fields, value)
        for value in np.linspace(-0.2, 0.2, 401)
    ]
    other = about | {"against": OTHER_TILES} | dict.fromkeys(Similarity._fields, 0.9)
    return Found(pd.DataFrame([about | row | measures]), pd.DataFrame([*noise, other]))


@pytest.mark.parametrize(
    ("similarity", "result"),
    [(0.18, PASSED), (0.2, PARTLY), (0.49, PARTLY), (0.51, FAILED), (np.nan, UNTESTED)],
)
def test_what_is_left_in_random_copies_is_held_against_noise(similarity, result) -> None:
    found = randomised(of_copies(similarity))
    assert found.result == result and (found.value is None) == np.isnan(similarity)
    wanted = "as noise has" if np.isnan(similarity) else "0.19 or less"
    assert wanted in found.threshold and "as trained" not in found.found
    assert np.isnan(similarity) or (
        "as trained" in randomised(of_copies(similarity), refitted=False).found
    )
    assert chance_band(of_copies(similarity)) == pytest.approx((-0.19, 0.19))


@pytest.mark.parametrize(("value", "result"), [(0.5, PASSED), (0.49, FAILED), (np.nan, UNTESTED)])
@pytest.mark.parametrize("kind", [STAIN, SHIFT])
def test_maps_of_changed_tiles_must_be_alike_enough(kind: str, value: float, result: str) -> None:
    rest = {STAIN: SHIFT, SHIFT: STAIN}[kind]
    rows = [(kind, value - 0.1), (kind, value + 0.1), (rest, 1.0)]
    found = stable(pd.DataFrame(rows, columns=["change", DECIDES]), HOW)
    by_kind = dict(zip((STAIN, SHIFT), found, strict=True))
    assert by_kind[kind].result == result and by_kind[rest].result == PASSED


@pytest.mark.parametrize(("error", "result"), [(0.1, PASSED), (0.11, FAILED), (np.nan, UNTESTED)])
def test_noise_samples_must_agree(error: float, result: str) -> None:
    assert precise(error, HOW).result == result


def test_a_prediction_below_the_threshold_is_flagged() -> None:
    model = corner_model()
    decision = AskedModel(model, Compute(device="cpu")).decision(corner_tile()[None])
    spec, predicted = SaliencySpec(layer="input"), int(decision.predicted[0])

    def said(given: float, truth: int | None = None, outcome: int = predicted) -> list[str]:
        return flags(model, spec, decision, outcome, truth, given, HOW)

    assert said(0.8) == [] and said(0.8, truth=predicted) == []
    (unsure,) = said(0.79)
    assert "only 0.79 (below 0.8)" in unsure
    (wrong,) = said(0.9, truth=1 - predicted)
    assert "is wrong" in wrong
    (other,) = said(0.9, outcome=1 - predicted)
    assert "and the map explains" in other
