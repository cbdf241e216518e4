"""ROAD: removed pixels are imputed as published; good maps score above bad ones."""

import numpy as np
import pytest
import torch

from napari_smoothsal.evaluation.road import imputed, road


def test_what_is_removed_from_a_plane_is_the_plane_again() -> None:
    """The mean of eight neighbours of a plane is the pixel in their middle."""
    y, x = np.mgrid[:12, :12]
    image = np.stack([0.02 * x + 0.03 * y, 0.5 - 0.01 * y])
    kept = np.ones((12, 12), bool)
    kept[3:9, 2:8] = False
    assert imputed(image, kept) == pytest.approx(image, abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_removed_pixels_are_the_weighted_mean_of_their_neighbours(share: float) -> None:
    """1/6 beside, 1/12 across a corner, of those there are, solved densely."""
    draw = np.random.default_rng(0)
    image, kept = draw.random((2, 9, 7)), draw.random((9, 7)) > share
    pixels = list(np.ndindex(9, 7))
    equations, known = np.eye(63), np.where(kept, image, 0).reshape(2, 63).T
    for row, (y, x) in enumerate(pixels):
        if kept[y, x]:
            continue
        near = {
            number: 1 / 6 if abs(y - v) + abs(x - u) == 1 else 1 / 12
            for number, (v, u) in enumerate(pixels)
            if max(abs(y - v), abs(x - u)) == 1
        }
        for number, weight in near.items():
            equations[row, number] = -weight / sum(near.values())
    wanted = np.linalg.solve(equations, known).T.reshape(image.shape)
    assert imputed(image, kept) == pytest.approx(wanted, abs=1e-12)


def test_a_map_of_what_counts_is_above_chance_and_its_negative_below() -> None:
    draw = torch.Generator().manual_seed(0)
    image = torch.rand((3, 16, 16), generator=draw)
    image[:, :4, :4] = 1
    importance = torch.zeros(16, 16)
    importance[:4, :4] = 1

    def predict(images: torch.Tensor) -> torch.Tensor:
        return images[:, :, :4, :4].mean((1, 2, 3))

    good, bad = road(predict, image, importance, 0), road(predict, image, -importance, 0)
    assert good > 0.1 and bad < -0.1
    assert road(predict, image, importance, 0) == good
