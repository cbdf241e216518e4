"""Dice of classes against masks: closed forms, any size, and masks that cannot be right."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from unets import PositiveUNet, segmenter, small_segmenter

from napari_smoothsal.core.errors import SettingError, SlideError
from napari_smoothsal.evaluation.overlap import confusion, dice, overlap
from napari_smoothsal.slides.labelled import MaskedTile, masked_tiles

NAMES = ("bg", "n", "t")


def test_dice_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 0]])
    table = confusion(truth, predicted, NAMES)
    assert table.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert dice(table).tolist() == [2 / 4, 4 / 5, 0]
    nothing = confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 2), int), NAMES)
    assert dice(nothing)[0] == 1 and np.isnan(dice(nothing)[1:]).all()


@pytest.mark.parametrize("size", [64, 61])
def test_a_mask_that_is_the_prediction_agrees_fully(size: int) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (size, size + 7, 3), dtype=np.uint8) for _ in range(3)]
    model = small_segmenter()
    unknown = np.full((size, size + 7), 255, np.uint8)
    zero = overlap(model, [MaskedTile("a", images[0], unknown)])
    assert np.isnan(zero.pooled).all()
    masks = []
    for image in images:
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        pad = (0, -(size + 7) % 4, 0, -size % 4)
        x = torch.nn.functional.pad((x - 0.5) / 0.25, pad, mode="reflect")
        with torch.no_grad():
            masks.append(model.module(x).argmax(1)[0, :size, : size + 7].numpy().astype(np.uint8))
    tiles = [MaskedTile(str(i), *pair) for i, pair in enumerate(zip(images, masks, strict=True))]
    result = overlap(model, tiles)
    assert result.pooled.tolist() == [1, 1, 1] and result.mean_of_tiles.tolist() == [1, 1, 1]
    frame = result.frame()
    assert frame["true_px"].sum() == 3 * size * (size + 7)
    assert list(frame["class"]) == list(NAMES)


def test_the_mean_of_tiles_counts_only_tiles_that_have_the_class() -> None:
    model = segmenter(PositiveUNet(), "a", "b")
    black = np.zeros((64, 64, 3), np.uint8)
    dot = black.copy()
    dot[30, 30] = 255
    seen = np.zeros((64, 64), np.uint8)
    seen[24:40, 24:40] = 1
    result = overlap(model, [MaskedTile("0", black, 0 * seen), MaskedTile("1", dot, seen)])
    assert result.mean_of_tiles[1] == result.pooled[1] > 0.3
    assert result.frame()["tiles_with_class"].tolist() == [2, 1]


def test_unknown_labels_are_named() -> None:
    mask = np.array([[0, 3], [7, 255]], np.uint8)
    with pytest.raises(
        SettingError, match=r"case7: .* 3, 7\. Expected are 0 bg, 1 n, 2 t, and 255"
    ):
        confusion(mask, np.zeros((2, 2), int), NAMES, "case7")
    with pytest.raises(SettingError, match="2 x 2 px, its image 3 x 2"):
        confusion(mask, np.zeros((2, 3), int), NAMES)


def test_masks_in_black_and_white_are_no_class_indices() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20] = 255
    with pytest.raises(SettingError, match="nothing but 0 and 255"):
        overlap(small_segmenter(), [MaskedTile("a", image, mask)] * 2)


def test_of_a_single_logit_1_is_the_class() -> None:
    model = small_segmenter("t")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        mask = (model.module((x - 0.5) / 0.25)[0, 0] >= 0).numpy().astype(np.uint8)
    assert 0 < mask.mean() < 1
    assert overlap(model, [MaskedTile("a", image, mask)]).pooled.tolist() == [1, 1]


def test_a_coarser_output_is_compared_at_the_masks_size() -> None:
    quarter = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 4, 4))
    model = segmenter(quarter, "a", "b")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        labels = model.module(x).argmax(1)[0].numpy().astype(np.uint8)
    mask = labels.repeat(4, 0).repeat(4, 1)
    assert np.nanmin(overlap(model, [MaskedTile("a", image, mask)]).pooled) == 1


def test_what_has_no_pixels_or_no_tiles(classifier) -> None:
    with pytest.raises(SettingError, match="once per tile"):
        overlap(classifier, [])
    with pytest.raises(SettingError, match="no images"):
        overlap(small_segmenter(), [])


def test_pairs_from_folders(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    with pytest.raises(SlideError, match="has no images"):
        list(masked_tiles(images, masks))
    picture = Image.fromarray(np.full((8, 9, 3), 200, np.uint8))
    for name in ("b", "a"):
        picture.save(images / f"{name}.png")
    palette = Image.fromarray(np.full((8, 9), 2, np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    palette.save(masks / "a.png")
    with pytest.raises(SlideError, match="'b' of 'images' has no mask"):
        list(masked_tiles(images, masks))
    Image.fromarray(np.full((8, 9), 1, np.uint8)).save(masks / "b.tif")
    tiles = list(masked_tiles(images, masks))
    assert [t.name for t in tiles] == ["a", "b"]
    assert [np.unique(t.mask).tolist() for t in tiles] == [[2], [1]]
    assert tiles[0].image.shape == (8, 9, 3)
    picture.save(masks / "b.tif")
    with pytest.raises(SlideError, match="one channel of class indices"):
        list(masked_tiles(images, masks))
    (masks / "b.tif").write_bytes(b"no image")
    with pytest.raises(SlideError, match=r"b\.tif: not an image"):
        list(masked_tiles(images, masks))
    with pytest.raises(SlideError, match="no folder 'gone'"):
        list(masked_tiles(images, tmp_path / "gone"))
