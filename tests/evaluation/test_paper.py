"""The paper's tables: closed forms, and one evaluation from folder to report."""

import numpy as np
import pandas as pd
import pytest
import torch
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn

from napari_smoothsal import Compute, total_variation
from napari_smoothsal.attribution.tiles import explain_tiles
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation import paper
from napari_smoothsal.evaluation.prediction_difference import (
    masked_prediction_difference,
    prediction_difference,
)

COMPUTE = Compute(device="cpu", precision="fp32")


def test_differences_are_sums_and_the_targets_own() -> None:
    before = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    after = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.4, 0.5]])
    found = prediction_difference(before, after, torch.tensor([0, 1]))
    assert torch.allclose(found.all_classes, torch.tensor([0.4, 0.6]))
    assert torch.allclose(found.target_class, torch.tensor([0.2, 0.3]))


def test_of_a_single_logit_the_one_class_is_the_target() -> None:
    before, after = torch.tensor([[0.7], [0.2]]), torch.tensor([[0.6], [0.5]])
    found = prediction_difference(before, after, torch.tensor([0, 1]))
    assert torch.allclose(found.target_class, torch.tensor([0.1, 0.3]))
    assert torch.allclose(found.all_classes, found.target_class)


def test_of_pixels_those_count_where_the_main_class_is_in_sight() -> None:
    before = torch.zeros(2, 3, 2, 2)
    before[0, 1, 0] = torch.tensor([0.9, 0.05])  # of the second only one is in sight
    before[0, 1, 1] = torch.tensor([0.5, 0.1])  # at most 0.1 is not
    after = before.clone()
    after[0, 1, 0, 0] -= 0.2
    after[0, 2, 0, 0] += 0.1
    after[0, 1, 0, 1] += 9  # not looked at
    labels = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 0]]])
    found = masked_prediction_difference(before, after, labels, background=0)
    assert found.all_classes[0] == pytest.approx((0.2 + 0.1) / 2)
    assert found.target_class[0] == pytest.approx(0.2 / 2)
    assert torch.isnan(found.all_classes[1]) and torch.isnan(found.target_class[1])


def test_tables_are_means_and_deviations_over_tiles() -> None:
    frame = pd.DataFrame(
        {
            "denoising": ["original", "forward_hook"] * 4,
            "correct": [1, 1, 1, 0, 1, 0, 0, 0],
            "difference_all": [0, 0.2, 0, 0.4, 0, 0.2, 0, 0.4],
            "difference_target": [0, 0.1, 0, 0.2, 0, 0.1, 0, 0.2],
        }
    )
    accuracy = paper.accuracy_table(frame).set_index("denoising")
    assert accuracy.loc["original", "accuracy_pct"] == 75
    assert accuracy.loc["forward_hook", "lost_points"] == 50
    (row,) = paper.difference_table(frame).to_dict("records")
    assert row["all_classes_x100_mean"] == pytest.approx(30)
    assert row["target_class_x100_std"] == pytest.approx(5)
    assert row["tiles"] == 4


def test_reductions_are_against_the_original_of_the_same_layer_and_method() -> None:
    rows = [
        ("gradient", "a", "original", 2.0),
        ("gradient", "b", "original", 4.0),
        ("gradient", "a", "hook", 1.0),
        ("gradient", "b", "hook", 3.0),
    ]
    frame = pd.DataFrame(rows, columns=["method", "layer", "denoising", "tv"])
    table = paper.roughness_table(frame)
    assert table["reduction_pct"].tolist() == [0, 0, 50, 25]
    assert paper.reduction_table(table)["reduction_pct"].tolist() == [37.5]


def test_predictions_are_those_of_the_changed_network() -> None:
    model = every_model()["resnet"]
    tiles = NoiseTiles([0, 1] * 10)
    frame = paper.predictions(model, tiles, COMPUTE)
    assert frame.groupby("denoising").size().to_dict() == {"original": 20, "forward_hook": 20}
    spec = SaliencySpec(
        layer="layer1", denoising="forward_hook", samples=0, denoising_options={"scope": "paper"}
    )
    alone = explain_tiles(model, tiles.images(range(20)), spec, COMPUTE)
    expected = (alone.probabilities - alone.original_probabilities).abs()
    changed = frame[frame["denoising"] == "forward_hook"]
    assert np.allclose(changed["difference_all"], expected.sum(1), atol=1e-6)
    assert changed["difference_all"].max() > 1e-6
    predicted = alone.original_probabilities.argmax(1)
    right = (predicted == torch.tensor(tiles.labels)).float()
    original = frame[frame["denoising"] == "original"]
    assert original["correct"].tolist() == right.tolist()
    assert (original["difference_all"] == 0).all()


def test_roughness_is_of_maps_of_the_label() -> None:
    model, tiles = every_model()["resnet"], NoiseTiles([1, 0, 1])
    wanted = paper.Wanted(layers=("layer1",), methods=("gradient",), samples=2)
    frame = paper.roughness(model, tiles, wanted, COMPUTE)
    assert len(frame) == 3 * 4
    row = frame[(frame["tile"] == "folder/tile2") & (frame["denoising"] == "centred_hook")].iloc[0]
    spec = SaliencySpec(
        layer="layer1", method="gradient", denoising="centred_hook", samples=2, target=1
    )
    alone = explain_tiles(model, tiles.images([0, 1, 2]), spec, COMPUTE)
    assert row["tv"] == pytest.approx(float(total_variation(alone.maps)[2]), rel=1e-4)


def test_blocks_are_the_numbered_parts_of_stages() -> None:
    blocks = paper.block_layers(every_model()["resnet"])
    assert blocks == [f"layer{i}.{j}" for i in (1, 2, 3) for j in (0, 1)]


def test_a_model_without_strides_has_nothing_to_evaluate() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(SettingError, match="no strided convolution"):
        paper.predictions(wrapped(plain, *"ab"), NoiseTiles([0, 1], 32), COMPUTE)


@pytest.mark.parametrize(
    ("table", "rows"),
    [("table2_accuracy", 3), ("table3_prediction_difference", 10), ("table4_total_variation", 120)],
)
def test_the_papers_rows_are_there(table: str, rows: int) -> None:
    assert len(paper.published(table)) == rows


def test_jitter_and_options_reach_the_maps_they_are_for() -> None:
    options = {"centred_hook": {"strength": 0.5}}
    names = ("original", "centred_hook")
    wanted = paper.Wanted(("layer1",), ("gradient",), names, jitter=True, options=options)
    original, centred = wanted.specs(0)
    assert original.jitter and centred.jitter
    assert original.denoising_options == {} and centred.denoising_options == {"strength": 0.5}
