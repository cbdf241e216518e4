"""Trust cards: a faithful map passes, an edge detector does not, and nothing more is said."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from corner import HOW, corner_model, corner_tile, single_logit_model
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from networks import every_model, wrapped
from torch import nn
from unets import small_segmenter

import napari_smoothsal as ss
from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.core.errors import SettingError, SmoothsalError, UnknownNameError
from napari_smoothsal.evaluation.faithful_maps import DECIDES
from napari_smoothsal.evaluation.insertion_deletion import Curves
from napari_smoothsal.evaluation.stability import SHIFT, STAIN
from napari_smoothsal.evaluation.trust import TrustCard
from napari_smoothsal.evaluation.trust_tests import (
    FAILED,
    PASSED,
    UNTESTED,
    beyond_random,
    precise,
    stable,
)
from napari_smoothsal.render.trust_figure import trust_figure, write_trust

CPU = ss.Compute(device="cpu", precision="fp32")
GRADIENT = ss.SaliencySpec(layer="input", method="gradient", denoising="original", samples=0)

QUICK = TrustCheck(random_orders=1, copies=1, draws=2)


def card_of(spec: ss.SaliencySpec = GRADIENT, **more: object) -> TrustCard:
    settings = {"perturbation": HOW, "compute": CPU} | more
    return ss.trust_card(corner_model(), corner_tile(), spec, **settings)


def results(card: TrustCard) -> dict[str, str]:
    return {test.name: test.result for test in card.tests}


def test_the_gradient_of_a_model_that_looks_at_a_corner_passes() -> None:
    card = card_of()
    assert results(card) == {
        "deletion": PASSED,
        "insertion": PASSED,
        "randomisation": PASSED,
        "other stain": PASSED,
        "shifted tile": FAILED,  # the model looks at a place, not at what is there
        "standard error": UNTESTED,
    }
    assert card.target == card.predicted == "bright" and card.probability > 0.9
    assert card.road > 0.4 > card.random_road and not card.flags
    assert "passed 4 of 5 tests" in card.verdict
    assert "Not tested: standard error (there are no noise samples)." in card.verdict


def test_an_edge_detector_does_not_depend_on_the_model(edge_detector: ss.SaliencySpec) -> None:
    card = card_of(edge_detector)
    found = {test.name: test for test in card.tests}
    assert found["randomisation"].result == FAILED
    assert found["randomisation"].value == pytest.approx(1)
    assert not card.passed and "Not passed: randomisation" in card.verdict


def test_thresholds_are_the_checks_own() -> None:
    strict = card_of(how=TrustCheck(least_correlation=0.99999, random_orders=3, copies=1))
    assert "3 random orders" in strict.tests[0].threshold
    assert strict.randomisation.similarities["copy"].nunique() == 1
    assert "0.99999 or more" in strict.tests[3].threshold
    noisy = card_of(GRADIENT.model_copy(update={"samples": 4}))
    assert results(noisy)["standard error"] == PASSED  # a linear model's gradient has none


def test_where_nothing_can_be_taken_away_it_is_not_tested() -> None:
    card = card_of(GRADIENT.model_copy(update={"target": "dark"}), how=QUICK)
    assert results(card)["deletion"] == results(card)["insertion"] == UNTESTED
    assert "gives the class 1.00 once all of it is taken away" in card.verdict
    assert "Not passed" not in card.verdict and not card.passed  # the map is zero: no test is left
    assert card.verdict.startswith("None of the tests could be made.")
    # Of the corner a blank tile keeps next to nothing, which is more than none.
    strict = card_of(how=QUICK.model_copy(update={"least_fall": 1.0}))
    assert results(strict)["deletion"] == results(strict)["insertion"] == UNTESTED


def falling(*areas: float) -> tuple[Curves, ...]:
    """From 1 to 0 and the other way round, with such areas below."""
    curves = (torch.tensor([1.0, 2 * area - 0.5, 0.0]) for area in areas)
    return tuple(Curves(curve, curve.flip(0)) for curve in curves)


def test_a_class_that_is_hardly_given_any_probability_is_not_tested() -> None:
    faint = Curves(torch.tensor([0.03, 0.028, 0.02]), torch.tensor([0.02, 0.021, 0.03]))
    random = Curves(torch.tensor([0.03, 0.03, 0.02]), torch.tensor([0.02, 0.02, 0.03]))
    tests = beyond_random(faint, (random,), TrustCheck())
    assert [test.result for test in tests] == [UNTESTED, UNTESTED]


def test_a_map_worse_than_chance_may_point_away_from_the_class() -> None:
    random = falling(0.4, 0.5, 0.6)
    for area, away in ((0.3, (False, True)), (0.5, (False, False)), (0.7, (True, False))):
        tests = beyond_random(falling(area)[0], random, TrustCheck())
        assert tuple("may point away" in test.found for test in tests) == away
        assert [test.result == PASSED for test in tests] == [area < 0.4, area > 0.6]


def test_digits_show_which_number_is_larger() -> None:
    deletion, _ = beyond_random(falling(0.4001)[0], falling(0.4), TrustCheck())
    assert deletion.result == FAILED
    assert "area 0.4001" in deletion.found and "(at best 0.4000)" in deletion.threshold
    changed = pd.DataFrame({"change": [STAIN, SHIFT], DECIDES: [0.4996, 0.71]})
    below, above = stable(changed, TrustCheck())
    assert "0.4996" in below.found and below.result == FAILED
    assert "0.71 " in above.found and above.result == PASSED
    assert "0.1002" in precise(0.1002, TrustCheck()).found


def test_uncertain_wrong_and_other_predictions_are_explained_and_flagged() -> None:
    wrong = card_of(label="dark")
    assert len(wrong.flags) == 1 and "'bright' is wrong: the tile is 'dark'" in wrong.flags[0]
    assert "Caution: the prediction 'bright' is wrong" in wrong.verdict
    other = card_of(GRADIENT.model_copy(update={"target": "dark"}))
    assert other.target == "dark" and other.predicted == "bright"
    assert "the map explains 'dark'" in other.flags[0] and "only 0.0" in other.flags[1]
    unsure = ss.trust_card(corner_model(0.01), corner_tile(), GRADIENT, compute=CPU)
    assert "below 0.8" in unsure.verdict


@pytest.mark.parametrize(
    "changes",
    [{}, {"reduction": "absolute"}, {"reduction": "positive"}, {"aggregate": "square"}],
    ids=str,
)
def test_the_background_of_a_single_logit_has_a_map_that_speaks_for_it(changes) -> None:
    """The model is that of the corner turned round, so what it shows of a tile is the same."""
    spec = GRADIENT.model_copy(update={"samples": 2} | changes)
    one = ss.trust_card(single_logit_model(), corner_tile(), spec, perturbation=HOW, compute=CPU)
    two = card_of(spec)
    assert one.target == one.predicted == "not dark" and one.probability > 0.9
    assert one.values == pytest.approx(two.values, rel=1e-4, abs=1e-7)
    assert one.values[:8, :8].mean() > 10 * abs(one.values[8:, 8:].mean())
    assert torch.allclose(one.curves.deletion, two.curves.deletion, atol=1e-4)
    assert one.road == pytest.approx(two.road, abs=1e-3) and not one.flags
    assert one.stability["spearman"].to_numpy() == pytest.approx(two.stability["spearman"])


def test_a_norm_after_global_pooling_keeps_its_statistics_and_the_card_says_so() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2)),
    )
    model = wrapped(module, "a", "b")
    card = ss.trust_card(model, corner_tile(), GRADIENT, how=QUICK, compute=CPU)
    (test,) = (test for test in card.tests if test.name == "randomisation")
    assert "running statistics as trained" in test.found and test.result != UNTESTED
    assert "as trained" not in str(card_of(how=QUICK).tests)


@pytest.mark.parametrize(
    ("method", "options", "flagged"),
    [("activation", {}, False), ("meaningful_perturbation", {"iterations": 2}, True)],
)
def test_a_map_without_a_sign_says_of_which_outcome_it_is(method, options, flagged) -> None:
    """An activation is of no class; a mask of what decides 'dark' cannot be turned round."""
    spec = GRADIENT.model_copy(update={"method": method, "method_options": options})
    maps = ss.explain_tiles(single_logit_model(), corner_tile()[None], spec, CPU).maps
    card = ss.trust_card(
        single_logit_model(), corner_tile(), spec, how=QUICK, perturbation=HOW, compute=CPU
    )
    assert torch.equal(torch.from_numpy(card.values), maps[0].sum(0))
    said = any("one score, that of 'dark', and the map is of it" in flag for flag in card.flags)
    assert said == flagged == bool(card.flags)


def test_what_is_written_says_the_same(tmp_path: Path) -> None:
    card = card_of(name="a tile")
    written = write_trust(card, tmp_path)
    assert [path.name for path in written] == ["trust.json", "trust.md", "trust.png"]
    told = json.loads(written[0].read_text())
    assert told["verdict"] == card.verdict and told["passed"] is False
    assert told["tests"][0]["value"] == pytest.approx(card.tests[0].value)
    assert len(told["insertion"]) == HOW.steps + 1 and len(told["stability"]) == 8
    text = written[1].read_text()
    assert card.verdict in text and "| **not passed** |" in text and "(trust.png)" in text
    assert written[2].stat().st_size > 20_000


@pytest.mark.parametrize("method", ["gradient", "meaningful_perturbation"])
def test_the_picture_says_what_its_colours_are_and_hides_no_curve(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"iterations": 2} if method != "gradient" else {}
    spec = GRADIENT.model_copy(update={"method": method, "method_options": options})
    card = replace(card_of(spec, how=QUICK), um_per_px=0.5)
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    trust_figure(card, tmp_path / "card.png")
    upper, heading = drawn[0].subfigs[0].axes, drawn[0].texts[0]
    axes = {axis.get_title(): axis for axis in upper}
    (bar,) = (axis for axis in upper if axis.get_xlabel().startswith("full colour"))
    captions = [name.get_text() for name in bar.get_xticklabels()]
    signed = method == "gradient"
    assert captions == (
        ["lowers bright", "", "raises bright"] if signed else ["", "decides bright"]
    )
    assert bar.get_xlim() == (-1 if signed else 0, 1) and "99th percentile" in bar.get_xlabel()
    assert any(isinstance(part, AnchoredSizeBar) for part in axes["tile"].artists)
    curves = [axis for axis in upper if axis.get_xlabel().startswith("share")]
    assert len(curves) == 2
    for axis in curves:
        box = axis.get_legend().get_window_extent()
        assert axis.get_window_extent().y1 - 1 <= box.y0 < box.y1 < heading.get_window_extent().y0


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"target": "grey"}, {}, "grey"),
        ({"layer": "corner"}, {}, "corner"),
        ({"target": "bright-dark"}, {}, "follows the probability of one class"),
        ({}, {"label": "grey"}, "label = 'grey' is no class"),
        ({}, {"image": torch.zeros(3, 32, 20, dtype=torch.uint8)}, "one square tile"),
        ({}, {"image": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)}, "one square tile"),
    ],
)
def test_bad_input_is_named(changes, more, words: str) -> None:
    more = {"image": corner_tile()} | more
    image = more.pop("image")
    spec = GRADIENT.model_copy(update=changes)
    with pytest.raises(SmoothsalError, match=words):
        ss.trust_card(corner_model(), image, spec, compute=CPU, **more)


def test_models_and_layers_that_cannot_be_tested() -> None:
    with pytest.raises(SettingError, match="decides per pixel"):
        ss.trust_card(small_segmenter(), torch.zeros(3, 64, 64), GRADIENT, compute=CPU)
    plain, image = every_model()["plain"], torch.zeros(3, 32, 32)
    with pytest.raises(UnknownNameError, match="nowhere"):
        ss.trust_card(plain, image, ss.SaliencySpec(layer="nowhere"), compute=CPU)
