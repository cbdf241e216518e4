"""Tiles of slides to learn from: which are neighbours, and what is read."""

import numpy as np
import torch

from napari_smoothsal import Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.slide_tiles import SlideTiles
from napari_smoothsal.slides import ArraySlide


def test_neighbours_of_one_slide_are_of_one_group(classifier: Model) -> None:
    side = classifier.card.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (5 * side, 6 * side, 3), dtype=np.uint8)
    slides = [ArraySlide([pixels], mpp=(0.5, 0.5), name=name) for name in ("a", "b")]
    tiles = SlideTiles(slides, classifier, Tiling(tissue="all"))
    groups = np.reshape(tiles.groups, (2, 5, 6))
    for slide in groups:
        for part in (slide[:4, :4], slide[:4, 4:], slide[4:, :4], slide[4:, 4:]):
            assert len(np.unique(part)) == 1
    assert len(np.unique(groups)) == 8
    (last,) = tiles.draw([len(tiles) - 1], None)
    assert torch.equal(last, torch.from_numpy(pixels[4 * side :, 5 * side :]).permute(2, 0, 1))
