"""Tiles of images and masks: whole ones, of one size, each mask beside its image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_smoothsal.core.errors import SettingError, SlideError
from napari_smoothsal.slides.masked_folder import MaskedFolder


def folder(tmp_path: Path, **sizes: tuple[int, int]) -> tuple[Path, Path]:
    """Images of random colours, whose masks are their red channel."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    for seed, (name, size) in enumerate(sizes.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.png")
        Image.fromarray(pixels[..., 0]).save(masks / f"{name}.png")
    return images, masks


def test_whole_tiles_are_cut_from_the_middle(tmp_path: Path) -> None:
    images, masks = folder(tmp_path, a=(20, 38), b=(16, 16))
    tiles = MaskedFolder(images, masks, 16)
    assert len(tiles) == 3 and tiles.side == 16 and tiles.image_count == 2
    assert [tiles.name(i) for i in range(3)] == ["a x3 y2", "a x19 y2", "b"]
    pixels = np.asarray(Image.open(images / "a.png"))
    second = tiles.images([1])[0].permute(1, 2, 0).numpy()
    assert np.array_equal(second, pixels[2:18, 19:35])


def test_a_mask_is_cut_as_its_image(tmp_path: Path) -> None:
    images, masks = folder(tmp_path, a=(50, 39), b=(21, 22))
    tiles = MaskedFolder(images, masks, 16)
    assert len(tiles) == 3 * 2 + 1
    shown = tiles.images(range(7))
    for index in range(7):
        assert np.array_equal(shown[index, 0].numpy(), tiles.mask(index))


def test_small_images_make_every_tile_smaller(tmp_path: Path) -> None:
    images, masks = folder(tmp_path, a=(64, 64), b=(23, 90))
    tiles = MaskedFolder(images, masks, 32, 4)
    assert tiles.side == 20 and len(tiles) == 9 + 4
    with pytest.raises(SettingError, match=r"b\.png: 90 x 23 px is smaller than a tile of 32 px"):
        MaskedFolder(images, masks, 32, 4, exact=True)
    with pytest.raises(SlideError, match=r"b\.png: .* steps of 32 px"):
        MaskedFolder(images, masks, 64, 32)


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    images, masks = folder(tmp_path, a=(16, 16))
    Image.fromarray(np.zeros((16, 17), np.uint8)).save(masks / "a.png")
    tiles = MaskedFolder(images, masks, 16)
    with pytest.raises(SlideError, match=r"a\.png: the mask has 17 x 16 px, its image 16 x 16"):
        tiles.mask(0)
