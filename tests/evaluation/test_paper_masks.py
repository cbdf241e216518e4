"""The paper's tables of pixels: a network whose answer is known, and masks that cannot be right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from unets import segmenter, small_segmenter

from napari_smoothsal import Compute, Model, total_variation
from napari_smoothsal.attribution.tiles import explain_tiles
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation import paper, paper_masks
from napari_smoothsal.evaluation.paper_masks import ByMainClass
from napari_smoothsal.evaluation.prediction_difference import main_class
from napari_smoothsal.models.surrogate import Surrogate

COMPUTE = Compute(device="cpu", precision="fp32")
WANTED = paper.Wanted(layers=("0",), methods=("gradient",), samples=0)


class Tiles:
    """Images (N, H, W, 3) with masks."""

    def __init__(self, images: NDArray[np.uint8], masks: Sequence[NDArray[np.uint8]]) -> None:
        self._images, self._masks = images, masks

    def __len__(self) -> int:
        return len(self._masks)

    def name(self, index: int) -> str:
        return f"tile{index}"

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(self._images[list(indices)]).permute(0, 3, 1, 2)

    def mask(self, index: int) -> NDArray[np.uint8]:
        return self._masks[index]


def red_blocks() -> Model:
    """Class "red" where a block of 4 x 4 px is red on average: logits 0 and 20 (mean - 0.5)."""
    module = nn.Sequential(nn.Conv2d(3, 1, 2, 2), nn.Conv2d(1, 1, 2, 2), nn.Conv2d(1, 2, 1))
    with torch.no_grad():
        for convolution in module:
            convolution.weight.zero_(), convolution.bias.zero_()
        module[0].weight[0, 0] = module[1].weight[0, 0] = 0.25
        module[2].weight[1], module[2].bias[1] = 20, -10
    return segmenter(module, "else", "red", size=16)


def noise(count: int, side: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.fixture
def blocks() -> Tiles:
    """A tile half red, a black one with a few red px in its mask, a black one."""
    images = np.zeros((3, 16, 16, 3), np.uint8)
    images[0, :, :8, 0] = 255
    masks = np.zeros((3, 16, 16), np.uint8)
    masks[0, :, :8] = 1
    masks[0, :4] = 255
    masks[0, 5, 0] = 0  # the one px that is wrong
    masks[1] = 255
    masks[1, 0, :4], masks[1, 0, 4:8] = 1, 0
    return Tiles(images, list(masks))


def test_the_main_class_is_the_most_frequent_but_the_background() -> None:
    labels = torch.tensor(
        [[[0, 0, 0], [2, 2, 1]], [[0, 0, 0], [0, 0, 255]], [[255, 1, 1], [2] * 3]]
    )
    assert main_class(labels, 3, 0).tolist() == [2, -1, 2]
    assert main_class(labels, 3, None).tolist() == [0, 0, 2]
    assert main_class(labels, 1, 1).tolist() == [0, 0, -1]  # a single logit: 1 is its absence


def test_accuracy_is_of_the_known_pixels(blocks: Tiles) -> None:
    found = paper_masks.predictions(red_blocks(), blocks, COMPUTE)
    original = found.frame[found.frame["denoising"] == "original"]
    assert original["correct"].tolist() == [191 / 192, 0.5, 1]
    assert original["label"].tolist() == [1, 1, -1]
    (row, changed) = found.accuracy_table().to_dict("records")
    assert changed["denoising"] == "forward_hook"
    assert row["accuracy_pct"] == pytest.approx(100 * (191 / 192 + 0.5 + 1) / 3)
    assert row["pooled_pct"] == pytest.approx(100 * (191 + 4 + 256) / (192 + 8 + 256))
    red, other = 2 * 95 / (96 + 95 + 4), 2 * (96 + 4 + 256) / (96 + 8 + 256 + 97 + 4 + 256)
    assert row["mean_dice"] == pytest.approx((red + other) / 2)


def test_differences_are_where_the_main_class_is_in_sight(blocks: Tiles) -> None:
    frame = paper_masks.predictions(red_blocks(), blocks, COMPUTE).frame
    changed = frame[frame["denoising"] == "forward_hook"]
    # The hook averages neighbours: at the border of the halves one column of blocks in two is red
    # by three quarters. Of the second tile nothing is seen red, the third has no main class.
    p = torch.sigmoid(torch.tensor([20 * (1 - 0.5), 20 * (0.75 - 0.5)])).tolist()
    target = changed["difference_target"].tolist()
    assert target[0] == pytest.approx((p[0] - p[1]) / 2, rel=1e-4)
    assert np.isnan(target[1:]).all()
    table = paper.difference_table(frame)
    assert table["tiles"].tolist() == [1]
    # Of two probabilities that sum to 1, one falls as the other rises.
    assert table["all_classes_x100_mean"][0] == pytest.approx(200 * target[0], rel=1e-4)


def test_a_surrogate_is_measured_as_well(blocks: Tiles) -> None:
    model = red_blocks()
    blind = Surrogate.untrained(model)
    for parameter in blind.paths["1"].parameters():
        nn.init.zeros_(parameter)
    model = Model(model.module, model.card, blind)
    found = paper_masks.predictions(model, blocks, COMPUTE)
    assert list(found.overlaps) == ["original", "bilinear_surrogate", "forward_hook"]
    frame = found.frame[found.frame["denoising"] == "bilinear_surrogate"]
    assert frame["correct"].tolist() == [97 / 192, 0.5, 1]  # sees red nowhere
    fall = torch.sigmoid(torch.tensor(10.0)) - torch.sigmoid(torch.tensor(-10.0))
    assert frame["difference_target"].iloc[0] == pytest.approx(float(fall), rel=1e-5)


def test_of_a_single_logit_1_is_the_class() -> None:
    model, images = small_segmenter("t", size=32), noise(2)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        masks = (model.module((x - 0.5) / 0.25)[:, 0] >= 0).numpy().astype(np.uint8)
    assert 0 < masks[0].mean() < 1
    tiles = Tiles(images, list(masks))
    frame = paper_masks.predictions(model, tiles, COMPUTE).frame
    original = frame[frame["denoising"] == "original"]
    assert original["correct"].tolist() == [1, 1] and original["label"].tolist() == [0, 0]
    changed = frame[frame["denoising"] == "forward_hook"]
    assert (changed["difference_target"] == changed["difference_all"]).all()
    assert (changed["difference_target"] > 0).all()
    rough = paper.roughness(
        model, ByMainClass(model, tiles), WANTED._replace(layers=("stem",)), COMPUTE
    )
    assert (rough["label"] == 0).all() and rough["tile"].nunique() == 2


def test_maps_explain_the_main_class_where_the_model_sees_it(blocks: Tiles) -> None:
    model = red_blocks()
    tiles = ByMainClass(model, blocks)
    assert tiles.labels == [1, 1] and tiles.left_out == 1
    rough = paper.roughness(model, tiles, WANTED, COMPUTE)
    assert set(rough["tile"]) == {"tile0"}  # of the second, nothing is predicted red
    row = rough[rough["denoising"] == "centred_hook"].iloc[0]
    spec = SaliencySpec(
        layer="0", method="gradient", denoising="centred_hook", samples=0, target="red"
    )
    alone = explain_tiles(model, blocks.images([0]), spec, COMPUTE)
    assert row["tv"] == pytest.approx(float(total_variation(alone.maps)[0]), rel=1e-4)
    black = Tiles(np.zeros((1, 16, 16, 3), np.uint8), [blocks.mask(1)])
    with pytest.raises(SettingError, match="the label of none of the 1 tiles"):
        paper.roughness(model, ByMainClass(model, black), WANTED, COMPUTE)


def test_tiles_of_background_alone_are_left_out_and_the_others_keep_their_names() -> None:
    masks = [np.full((32, 32), label, np.uint8) for label in (0, 2, 0, 255, 1)]
    images = noise(5)
    tiles = ByMainClass(small_segmenter(size=32), Tiles(images, masks))
    assert len(tiles) == 2 and tiles.labels == [2, 1] and tiles.left_out == 3
    assert [tiles.name(i) for i in range(2)] == ["tile1", "tile4"]
    assert np.array_equal(tiles.images([1])[0].permute(1, 2, 0).numpy(), images[4])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((0, 7), "tile1: the mask has labels that are no class of the model: 7"),
        ((0, 255), "nothing but 0 and 255"),
        ((0, 0), "none of the 2 tiles with masks shows anything but 'bg'"),
    ],
)
def test_masks_without_classes_are_refused(labels: tuple[int, int], words: str) -> None:
    masks = [np.full((32, 32), label, np.uint8) for label in labels]
    with pytest.raises(SettingError, match=words):
        ByMainClass(small_segmenter(size=32), Tiles(noise(2), masks))


def test_a_model_that_decides_per_tile_has_no_pixels(classifier: Model, blocks: Tiles) -> None:
    with pytest.raises(SettingError, match="give labels instead"):
        paper_masks.predictions(classifier, blocks, COMPUTE)
