"""Every measure of every map: one row each, beside a random floor."""

import numpy as np
import pandas as pd
import pytest
import torch
from corner import HOW, corner_model, corner_tile, single_logit_model

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.core.checks import Disturbance
from napari_smoothsal.evaluation.faithful_maps import DECIDES, Checks, FaithfulMaps
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.evaluation.sanity_verdict import DEPENDS, DOES_NOT
from napari_smoothsal.evaluation.some_tiles import InMemory, Some, drawn

CPU = Compute(device="cpu", precision="fp32")
GRADIENT = SaliencySpec(layer="input", method="gradient", denoising="original", samples=0)


class Everywhere:
    """A truth that only knows how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str, float]] = []

    def auroc(self, index, outcome, reduced, places) -> float:
        self.asked.append((index, outcome, float(reduced[:8, :8].mean())))
        return 0.75


def test_a_faithful_map_is_beyond_the_floor_and_an_edge_detector_is_not(edge_detector) -> None:
    tiles = InMemory(["one", "two"], torch.stack([corner_tile()] * 2))
    truth = Everywhere()
    checks = Checks(perturbation=HOW, disturbance=Disturbance(samples=4))
    maps = FaithfulMaps(corner_model(), tiles, checks, CPU, truth)
    for spec in (GRADIENT, edge_detector):
        maps.add(spec)
    table = maps.table.set_index("method")
    assert list(table.index) == [RANDOM, "gradient", "edges"] and (table["tiles"] == 2).all()
    assert table.loc["gradient", "deletion"] < table.loc[RANDOM, "deletion"] - 0.1
    assert table.loc["gradient", "insertion"] > table.loc[RANDOM, "insertion"] + 0.1
    assert table.loc["gradient", "road"] > table.loc["edges", "road"]
    assert table.loc["gradient", "sanity_verdict"] == DEPENDS
    assert table.loc["edges", "sanity_verdict"] == DOES_NOT
    assert table.loc["edges", "sanity"] == pytest.approx(1)
    assert table.loc["gradient", "stain"] == pytest.approx(1)  # of a linear model
    assert table.loc["gradient", "infidelity"] == pytest.approx(0, abs=1e-3)
    assert table.loc["gradient", "sensitivity"] == pytest.approx(0, abs=1e-5)
    assert table.loc["gradient", "auroc"] == 0.75 and np.isnan(table.loc[RANDOM, "auroc"])
    assert {(index, name) for index, name, _ in truth.asked} == {(0, "bright"), (1, "bright")}
    assert all(value > 0 for _, _, value in truth.asked[:2])
    assert np.isnan(table.loc["gradient", "deletion_low"])  # two tiles say nothing of others
    assert {row["tile"] for row in maps.by_tile} == {"one", "two"}
    assert DECIDES == "spearman"


def test_costly_methods_see_few_tiles_of_every_class_beside_a_floor_on_the_same() -> None:
    dark = torch.full_like(corner_tile(), 20)
    tiles = InMemory(list("abcd"), torch.stack([*[corner_tile()] * 3, dark]))
    checks = Checks(perturbation=HOW, few=2, disturbance=Disturbance(samples=2))
    maps = FaithfulMaps(corner_model(), tiles, checks, CPU)
    for method in ("gradient", "occlusion", "occlusion"):
        maps.add(GRADIENT.model_copy(update={"method": method}))
    table = maps.table
    assert table["method"].tolist() == [RANDOM, RANDOM, "gradient", "occlusion", "occlusion"]
    assert table["tiles"].tolist() == [4, 2, 4, 2, 2]
    assert table["road"].iloc[3] > 0 and np.isnan(table["auroc"].iloc[3])
    by_tile = pd.DataFrame(maps.by_tile).set_index("method")
    seen = by_tile.loc["occlusion", "tile"].tolist()[:2]
    assert "d" in seen and len(set(seen)) == 2
    floor = by_tile.loc[RANDOM].set_index("tile")["deletion"]
    assert table["deletion"].iloc[1] == pytest.approx(floor[seen].mean())


def test_maps_of_a_single_logits_background_are_turned_where_they_have_a_sign() -> None:
    tiles = InMemory(["one"], corner_tile()[None])
    specs = [
        GRADIENT,
        GRADIENT.model_copy(update={"reduction": "absolute"}),
        GRADIENT.model_copy(update={"samples": 2, "aggregate": "square"}),
        GRADIENT.model_copy(update={"method": "activation"}),
    ]
    rows = []
    for model in (single_logit_model(), corner_model()):
        truth = Everywhere()
        checks = Checks(perturbation=HOW, disturbance=Disturbance(samples=2))
        maps = FaithfulMaps(model, tiles, checks, CPU, truth)
        for spec in specs:
            maps.add(spec)
        rows.append(maps.table[["deletion", "insertion", "road"]].to_numpy(float))
        assert all(value > 0 for _, _, value in truth.asked)
    assert rows[0] == pytest.approx(rows[1], abs=1e-3)


def test_some_tiles_are_called_as_they_were() -> None:
    tiles = Some(
        InMemory(list("abc"), torch.arange(3, dtype=torch.uint8)[:, None, None, None]), [2, 0]
    )
    assert [tiles.name(i) for i in range(len(tiles))] == ["c", "a"]
    assert tiles.images([0, 1]).flatten().tolist() == [2, 0]


def test_tiles_are_drawn_by_chance_and_by_a_seed() -> None:
    numbers = range(100, 140)
    found = [drawn(numbers, 5, seed) for seed in range(20)]
    assert found == [drawn(numbers, 5, seed) for seed in range(20)]
    assert all(len(set(some)) == 5 and set(some) <= set(numbers) for some in found)
    assert len({one for some in found for one in some}) > 30
    assert sorted(drawn(numbers, 99, 0)) == list(numbers)
