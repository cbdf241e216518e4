"""A trust card tells what it knows while it is measured, and stops when it is asked to."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from corner import HOW, corner_model, corner_tile

import napari_smoothsal as ss
from napari_smoothsal.attribution import Stopped
from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.evaluation.trust import TrustCard
from napari_smoothsal.evaluation.trust_measuring import TrustPart
from napari_smoothsal.evaluation.trust_tests import FAILED, PASSED, UNTESTED, Tested
from napari_smoothsal.evaluation.trust_together import (
    MEANS,
    ORDER,
    drawn_curves,
    joined_tests,
    verdict_of,
)
from napari_smoothsal.render.trust_figure import trust_markdown

CPU = ss.Compute(device="cpu", precision="fp32")
SPEC = ss.SaliencySpec(layer="input", method="gradient", denoising="original", samples=2)
QUICK = TrustCheck(random_orders=6, copies=1, draws=2, road=False, by_block=False)


def card_of(how: TrustCheck = QUICK, **more: object) -> TrustCard:
    return ss.trust_card(
        corner_model(), corner_tile(), SPEC, how=how, perturbation=HOW, compute=CPU, **more
    )


@pytest.fixture(scope="module")
def heard() -> tuple[TrustCard, list[TrustPart], list[tuple[str, int, int]]]:
    parts: list[TrustPart] = []
    told: list[tuple[str, int, int]] = []
    card = card_of(on_part=parts.append, told=lambda *words: told.append(words))
    return card, parts, told


def test_tests_are_told_one_after_the_other_and_never_taken_back(heard) -> None:
    card, parts, _ = heard
    known: tuple[Tested, ...] = ()
    for part in parts:
        assert set(known) <= set(part.tests)
        known = part.tests
    assert known == card.tests and parts[-1].flags == card.flags
    assert [test.name for test in parts[0].tests] == ["standard error"]
    assert (parts[-1].target, parts[-1].predicted) == (card.target, card.predicted)


def test_curves_are_told_before_their_random_orders(heard) -> None:
    card, parts, _ = heard
    orders = [len(part.random_curves) for part in parts if part.curves is not None]
    assert orders[0] == 0 and orders[-1] == 6 and orders == sorted(orders)
    assert 0 < orders[1] < 6
    assert parts[-1].curves is card.curves and parts[-1].random_curves == card.random_curves


def test_how_far_it_is_grows_to_the_whole(heard) -> None:
    _, _, told = heard
    done, totals = [d for _, d, _ in told], {total for _, _, total in told}
    assert done == sorted(done) and done[0] == 0 and len(totals) == 1
    assert 0.5 < done[-1] / totals.pop() < 1
    assert list(Counter(what for what, _, _ in told)) == [
        "the map",
        "insertion and deletion",
        "changed tiles",
        "randomised copies",
    ]


def test_it_can_be_stopped_at_any_time(heard) -> None:
    _, parts, _ = heard
    asked = 0

    def counting() -> bool:
        nonlocal asked
        asked += 1
        return False

    card_of(stop=counting)
    assert asked > 30
    for limit in (0, 2, asked // 3, asked - 1):
        left, known = limit, []

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        with pytest.raises(Stopped):
            card_of(stop=stop, on_part=known.append)
        assert left == -1 and len(known) < len(parts)


def test_what_only_illustrates_can_be_left_out() -> None:
    whole = card_of(QUICK.model_copy(update={"road": True, "by_block": True}))
    short = card_of()
    assert short.tests == whole.tests
    assert np.isnan(short.road) and np.isfinite(whole.road)
    assert json.loads(short.to_json())["road"] is None
    assert "ROAD" in trust_markdown(whole) and "ROAD" not in trust_markdown(short)


def part_with(**results: str) -> TrustPart:
    """With results by test, with _ for a blank."""
    tests = (
        Tested(name.replace("_", " "), "?", f"{result} here", "more", result, 0.5)
        for name, result in results.items()
    )
    return TrustPart("tumour", 0.9, "tumour", tuple(tests))


def test_a_test_is_passed_where_it_is_passed_on_every_tile() -> None:
    parts = [
        part_with(deletion=PASSED, insertion=PASSED, other_stain=UNTESTED),
        part_with(deletion=FAILED, insertion=UNTESTED, other_stain=UNTESTED),
        part_with(deletion=PASSED),
    ]
    parts[1] = replace(parts[1], flags=("so it is",))
    tests = joined_tests(parts)
    assert [(test.name, test.result) for test in tests] == [
        ("deletion", FAILED),
        ("insertion", PASSED),
        ("other stain", UNTESTED),
    ]
    assert [tile for tile, _ in tests[1].tests] == [0, 1]
    said = verdict_of(tests, parts, 3)
    assert said.startswith("The map passed 1 of 2 tests on 3 tiles. ")
    assert "Not passed: deletion on 1 of 3 tiles (not passed here)." in said
    assert "Caution: so it is (on 1 of 3 tiles)." in said
    assert "Not tested: other stain" in said and "not of whether the model is right" in said
    assert verdict_of((), [], 1).startswith("None of the tests could be made.")


def test_every_result_of_every_test_is_put_into_words(heard) -> None:
    card, _, _ = heard
    assert list(MEANS) == list(ORDER) == [test.name for test in card.tests]
    for words in MEANS.values():
        assert {PASSED, FAILED, UNTESTED} <= set(words)


def test_random_orders_are_averaged_over_the_same_tiles(heard) -> None:
    _, parts, _ = heard
    last, first = parts[-1], next(part for part in parts if part.curves is not None)
    one = drawn_curves([last], "deletion")
    assert one is not None and len(one.tiles) == 1
    np.testing.assert_array_equal(one.mean, last.curves.deletion.numpy())
    random = np.stack([curve.deletion.numpy() for curve in last.random_curves])
    np.testing.assert_allclose(one.low, random.min(0))
    np.testing.assert_allclose(one.high, random.max(0))
    # A tile whose random orders are not drawn yet leaves none to compare with.
    two = drawn_curves([last, first, parts[0]], "deletion")
    assert two is not None and len(two.tiles) == 2 and two.low.size == 0
    assert drawn_curves(parts[:1], "insertion") is None
