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


def test_as_published() -> None:
    """The authors' imputation, in grad-cam."""
    reference = pytest.importorskip("pytorch_grad_cam.metrics.road").NoisyLinearImputer(0.0)
    draw = np.random.default_rng(0)
    image = torch.tensor(draw.random((3, 20, 17)), dtype=torch.float32)
    for share in (0.1, 0.5, 0.9):
        kept = draw.random((20, 17)) > share
        wanted = reference(image, torch.tensor(kept.astype(np.float32)))
        assert imputed(image.numpy(), kept) == pytest.approx(wanted.numpy(), abs=1e-6)


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
