"""Sanity checks: what depends on the parameters is told from what does not."""

import numpy as np
import pandas as pd
import pytest
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.checks import Randomisation, SanityCheck
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.evaluation.blocks import blocks_of
from napari_smoothsal.evaluation.map_similarity import Similarity, similarity
from napari_smoothsal.evaluation.randomisation import randomised
from napari_smoothsal.evaluation.sanity import NOISE, OTHER_TILES, Found, sanity
from napari_smoothsal.evaluation.sanity_verdict import (
    DEPENDS,
    DOES_NOT,
    IN_PART,
    UNKNOWN,
    sanity_verdicts,
)
from napari_smoothsal.models import Model

CPU = Compute(device="cpu", precision="fp32")
MEASURES = list(Similarity._fields)
GRADIENT = SaliencySpec(layer="input", method="gradient", denoising="original", samples=0)


def resnet() -> Model:
    return every_model()["resnet"]


def checked(model: Model, *specs: SaliencySpec, tiles: int = 4, **how: object) -> Found:
    return sanity(model, NoiseTiles([0] * tiles), specs, SanityCheck(**how), CPU)


def test_randomising_changes_a_gradient_and_not_an_edge_detector(edge_detector) -> None:
    found = checked(resnet(), GRADIENT, edge_detector, tiles=10)
    rows = found.similarities
    kept = rows[rows["method"] == "edges"]
    assert len(kept) == 10 * len(blocks_of(resnet())) and np.allclose(kept[MEASURES], 1)
    whole = rows[(rows["method"] == "gradient") & rows["whole"]]
    assert len(whole) == 10 and whole["spearman"].abs().max() < 0.2
    table = sanity_verdicts(found).set_index(["method", "measure"])
    assert (table.loc["edges", "verdict"] == DOES_NOT).all()
    assert table.loc["edges", "kept"].to_numpy() == pytest.approx(1)
    assert table.loc[("gradient", "spearman"), "verdict"] == DEPENDS
    assert table.loc[("gradient", "spearman"), "low"] < 0.1


def test_the_class_is_kept() -> None:
    """Copies predict other classes; the map is of the class that the model predicts."""
    model = every_model()["functional"]
    tiles = NoiseTiles([0] * 4, side=32)
    images = tiles.images(range(4))
    predicted = explain_tiles(model, images, GRADIENT, CPU).target
    how = SanityCheck(statistics="kept", copies=3)
    rows = sanity(model, tiles, [GRADIENT], how, CPU).similarities
    others = 0
    for seed in range(3):
        copied = randomised(
            model, blocks_of(model), Randomisation(seed=seed, statistics="kept"), images
        )
        others += int((explain_tiles(copied, images, GRADIENT, CPU).target != predicted).sum())
        for index in range(4):
            asked = GRADIENT.model_copy(update={"target": int(predicted[index])})
            pair = [explain_tiles(m, images, asked, CPU).reduced[index] for m in (model, copied)]
            expected = similarity(*(one.numpy() for one in pair))
            row = rows[rows["whole"] & (rows["copy"] == seed) & (rows["tile"] == tiles.name(index))]
            assert row[MEASURES].to_numpy()[0] == pytest.approx(expected, nan_ok=True)
    assert others > 0


def test_what_is_asked_for_by_name_is_asked_of_every_tile() -> None:
    asked = GRADIENT.model_copy(update={"target": 1})
    one, other = (
        checked(resnet(), spec, blocks=("fc",)).similarities[MEASURES].to_numpy()
        for spec in (asked, asked.model_copy(update={"target": 0}))
    )
    assert one.shape == other.shape and not np.allclose(one, other)


def test_of_hidden_layers_only_what_lies_above_is_randomised() -> None:
    hidden = GRADIENT.model_copy(update={"layer": "layer3"})
    shown = SaliencySpec(layer="layer3", denoising="original", method="activation", samples=0)
    rows = checked(resnet(), hidden, shown, GRADIENT).similarities
    own = rows[rows["layer"] == "layer3"]
    assert list(dict.fromkeys(own["block"])) == ["fc", "layer4.1", "layer4.0"]
    assert set(own.loc[own["whole"], "block"]) == {"layer4.0"}
    whole = rows[(rows["layer"] == "input") & rows["whole"]]
    assert set(whole["block"]) == {"conv1"}
    # Its activations are what they were, bit for bit.
    assert (own.loc[own["method"] == "activation", "spearman"] > 1 - 1e-12).all()


@pytest.mark.slow
def test_what_changes_the_image_has_no_denoising_and_all_blocks_are_randomised() -> None:
    hiding = SaliencySpec(layer="input", method="occlusion", denoising="centred_hook", samples=3)
    found = checked(resnet(), hiding, tiles=2, orders=("cascading",))
    for rows in found:
        assert set(rows["method"]) == {"occlusion"} and set(rows["denoising"]) == {"original"}
    whole = found.similarities[found.similarities["whole"]]
    assert set(whole["block"]) == {"conv1"} and whole["spearman"].max() < 0.9


def test_as_published_what_lies_below_a_layer_is_randomised_too() -> None:
    shown = SaliencySpec(layer="layer3", denoising="original", method="activation", samples=0)
    rows = checked(resnet(), shown, below=True).similarities
    whole = rows[rows["whole"]]
    assert set(whole["block"]) == {"conv1"} and whole["spearman"].max() < 0.9
    above = rows[rows["depth"] <= 3]
    assert (above["spearman"] > 1 - 1e-12).all()


@pytest.mark.slow
def test_independent_checks_change_one_block_alone() -> None:
    model, tiles = resnet(), NoiseTiles([0] * 4)
    rows = checked(model, GRADIENT, orders=("independent", "cascading")).similarities
    blocks = blocks_of(model)
    assert not rows.loc[rows["order"] == "independent", "whole"].any()
    images = tiles.images(range(4))
    target = int(explain_tiles(model, images, GRADIENT, CPU).target[0])
    asked = GRADIENT.model_copy(update={"target": target})
    for order, changed in (("independent", blocks[3:4]), ("cascading", blocks[:4])):
        copied = randomised(model, changed, Randomisation(), images)
        pair = [explain_tiles(m, images, asked, CPU).reduced[0] for m in (model, copied)]
        at = (rows["order"] == order) & (rows["block"] == blocks[3].name)
        row = rows[at & (rows["tile"] == tiles.name(0))]
        assert row[MEASURES].to_numpy()[0] == pytest.approx(similarity(*(m.numpy() for m in pair)))


@pytest.mark.slow
def test_seeds_repeat_and_the_model_stays() -> None:
    model = resnet()
    before = model.parameters_sha256
    spec = GRADIENT.model_copy(update={"samples": 2})
    some = {"blocks": ("layer4.1",), "copies": 2}
    one, again = (checked(model, spec, **some) for _ in range(2))
    pd.testing.assert_frame_equal(one.similarities, again.similarities)
    pd.testing.assert_frame_equal(one.chance, again.chance)
    assert set(one.similarities["block"]) == {"layer4.1", "conv1"}
    assert set(one.similarities["copy"]) == {0, 1}
    other = checked(model, spec, seed=7, **some)
    assert not one.similarities[MEASURES].equals(other.similarities[MEASURES])
    fresh = Model(model.module, model.card)
    assert fresh.parameters_sha256 == before


def test_every_map_has_a_chance_level_of_noise_and_of_other_tiles() -> None:
    specs = [
        SaliencySpec(layer="layer1", denoising=name, samples=0)
        for name in ("original", "centred_hook")
    ]
    found = checked(resnet(), *specs, tiles=4, draws=5, blocks=("fc",))
    counts = found.chance.groupby(["denoising", "against"]).size()
    assert set(counts.index) == {
        (name, against) for name in ("original", "centred_hook") for against in (NOISE, OTHER_TILES)
    }
    assert (counts.xs(NOISE, level="against") == 4 * 5).all()
    spread = found.chance[found.chance["against"] == NOISE].groupby("denoising")["spearman"].std()
    assert spread["centred_hook"] > spread["original"]


@pytest.mark.parametrize("name", ["single_logit", "segmenter"])
def test_one_logit_and_decisions_per_pixel_are_checked(name: str) -> None:
    model = small_segmenter() if name == "segmenter" else every_model()[name]
    rows = checked(model, GRADIENT, statistics="kept").similarities
    # No pixel is predicted as the class by some copies: there are maps all the same.
    assert rows[["spearman", "spearman_absolute"]].notna().all().all()


def frame(values: list[float], chance: dict[str, list[float]]) -> Found:
    about = {"layer": "l", "method": "m", "denoising": "d"}
    rows = [
        about
        | {"tile": f"t{i}", "order": "cascading", "whole": True, "copy": 0}
        | dict.fromkeys(MEASURES, value)
        for i, value in enumerate(values)
    ]
    other = [
        about | {"tile": "t0", "against": against} | dict.fromkeys(MEASURES, value)
        for against, drawn in chance.items()
        for value in drawn
    ]
    return Found(pd.DataFrame(rows), pd.DataFrame(other))


@pytest.mark.parametrize(
    ("values", "verdict", "kept"),
    [
        ([0.05] * 12, DEPENDS, 0.05),
        ([0.14] * 12, DEPENDS, 0.14),
        ([0.3] * 12, IN_PART, 0.3),
        ([0.8] * 12, DOES_NOT, 0.8),
        ([np.nan] * 12, UNKNOWN, np.nan),
    ],
)
def test_verdicts_hold_similarity_against_chance(values, verdict: str, kept: float) -> None:
    noise = np.linspace(-0.16, 0.16, 41).tolist()
    table = sanity_verdicts(frame(values, {NOISE: noise}))
    assert (table["verdict"] == verdict).all()
    assert table["kept"].to_numpy() == pytest.approx(kept, nan_ok=True)


def test_copies_are_told_one_by_one() -> None:
    rows = pd.concat(
        frame([value] * 12, {}).similarities.assign(copy=copy)
        for copy, value in enumerate((0.1, 0.2, 0.6))
    )
    table = sanity_verdicts(frame([0.0], {NOISE: [0.0, 0.1]})._replace(similarities=rows))
    assert (table["copies"] == 3).all() and table["similarity"].to_numpy() == pytest.approx(0.3)
    assert table["copies_low"].to_numpy() == pytest.approx(0.1)
    assert table["copies_high"].to_numpy() == pytest.approx(0.6)


def test_what_other_tiles_have_in_common_is_told_and_excuses_nothing() -> None:
    noise, others = [-0.1, 0.1] * 20, [0.9, 1.0] * 20
    table = sanity_verdicts(frame([0.55] * 12, {NOISE: noise, OTHER_TILES: others}))
    assert (table["verdict"] == DOES_NOT).all()
    assert table["kept"].to_numpy() == pytest.approx(0.55)
    assert table["others"].to_numpy() == pytest.approx(0.95)


def test_intervals_need_ten_tiles() -> None:
    draw = np.random.default_rng(0)
    few, many = (
        sanity_verdicts(frame(draw.normal(0.4, 0.05, n).tolist(), {NOISE: [0.0, 0.1]}))
        for n in (9, 40)
    )
    assert few["low"].isna().all()
    assert (many["low"] < many["similarity"]).all() and (many["similarity"] < many["high"]).all()
    assert (many["high"] - many["low"]).max() < 0.05


def test_a_layer_with_nothing_above_and_a_block_that_is_none_are_refused() -> None:
    head = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    bare = wrapped(head, "a", "b")
    with pytest.raises(SettingError, match=r"layer '0' .* no block above"):
        checked(bare, GRADIENT.model_copy(update={"layer": "0"}))
    with pytest.raises(UnknownNameError, match=r"layer4\.2"):
        checked(resnet(), GRADIENT, blocks=("layer4.2",))
