"""Tiles of normal tissue beside a model: read by name, cut to the tile, refused where too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_smoothsal import load_model
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.normal_tissue import MOST_TILES


def put(folder: Path, name: str, side: int, value: int) -> None:
    (folder / "normal").mkdir(exist_ok=True)
    pixels = np.full((side, side + 2, 3), value, np.uint8)
    pixels[0] = pixels[-1] = 0
    Image.fromarray(pixels).save(folder / "normal" / name)


def test_the_middle_of_the_first_pictures_is_taken(model_folder_of_classifier: Path) -> None:
    folder = model_folder_of_classifier
    assert load_model(folder).normal_tissue is None
    for number in range(MOST_TILES + 2):
        put(folder, f"{number:02d}.png", 70, 10 + number)
    (folder / "normal" / "README.txt").write_text("no picture")
    tiles = load_model(folder).normal_tissue
    assert tiles is not None and tiles.shape == (MOST_TILES, 64, 64, 3)
    assert [set(np.unique(tile)) for tile in tiles] == [{10 + n} for n in range(MOST_TILES)]


def test_a_picture_smaller_than_a_tile_is_named(model_folder_of_classifier: Path) -> None:
    put(model_folder_of_classifier, "small.png", 60, 9)
    with pytest.raises(ModelError, match=r"normal/small\.png has 62 x 60 px; .* has 64"):
        load_model(model_folder_of_classifier)


def test_a_file_that_is_no_picture_is_named(model_folder_of_classifier: Path) -> None:
    put(model_folder_of_classifier, "a.png", 64, 9)
    (model_folder_of_classifier / "normal" / "b.png").write_bytes(b"not a picture")
    with pytest.raises(ModelError, match=r"normal/b\.png cannot be read"):
        load_model(model_folder_of_classifier)


@pytest.mark.parametrize("name", ["demo-classifier", "demo-classifier-robust", "demo-vgg"])
def test_the_demonstration_classifiers_bring_some(name: str) -> None:
    tiles = load_model(name).normal_tissue
    assert tiles is not None and tiles.shape == (MOST_TILES, 224, 224, 3)
