"""Augmentation: masks move with their images, and nothing but the generator decides."""

from __future__ import annotations

import pytest
import torch

from napari_smoothsal.sample_data.augmentation import (
    augment,
    augment_with_masks,
    moved,
    moved_masks,
    random_grid,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(count: int = 6) -> torch.Tensor:
    """Masks (count, 96, 96) of 12-px squares of three classes."""
    coarse = torch.randint(0, 3, (count, 8, 8), generator=generator(1), dtype=torch.uint8)
    return coarse.repeat_interleave(12, 1).repeat_interleave(12, 2)


@pytest.mark.parametrize("side", [48, 80, 96])
def test_masks_move_with_their_images(side: int) -> None:
    masks = blocks()
    images = (masks[:, None] * 100).expand(-1, 3, -1, -1)
    grid = random_grid(images, side, generator())
    pixels, labels = moved(images, grid)[:, 0], moved_masks(masks, grid)
    assert labels.dtype == torch.int64
    # Within a square both are exact; on its rim the image is between two classes.
    exact = (pixels / 100 - (pixels / 100).round()).abs() < 1e-4
    assert exact.float().mean() > 0.5
    assert (labels == (pixels / 100).round())[exact].float().mean() > 0.99
    # And a mask that did not move would not fit.
    middle = (96 - side) // 2
    still = masks[:, middle : middle + side, middle : middle + side]
    assert (still == (pixels / 100).round())[exact].float().mean() < 0.7


def test_labels_to_ignore_survive() -> None:
    masks = torch.full((2, 64, 64), 255, dtype=torch.uint8)
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    _, moved_labels = augment_with_masks(images, masks, 48, generator())
    assert moved_labels.unique().tolist() == [255]


def test_images_and_masks_of_a_batch_move_alike() -> None:
    masks = blocks(4)
    images = (masks[:, None] * 100).expand(-1, 3, -1, -1)
    with_masks, labels = augment_with_masks(images, masks, 80, generator())
    assert torch.equal(labels, moved_masks(masks, random_grid(images, 80, generator())))
    without = augment(images, 80, generator())
    assert torch.equal(with_masks, without)
    assert without.shape == (4, 3, 80, 80)
    assert without.min() >= 0
    assert without.max() <= 1
    assert not torch.equal(without, augment(images, 80, generator(1)))
