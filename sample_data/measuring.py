"""How good a classifier is, on tiles that no classifier was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_smoothsal.sample_data.classification import MPPS
from napari_smoothsal.sample_data.patches import Patch, at_half_resolution, centre_crop
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.training import TEST_SEED, Disturbance, as_tensor, normalised

TEST_TILES = 200
"""Synthetic test tiles at each resolution."""


@dataclass(frozen=True)
class UnseenTiles:
    """Tiles uint8 (N, 224, 224, 3) and their labels (N,), 1 for tumour."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def first(self, count: int) -> UnseenTiles:
        """The first ``count`` tiles, or all where there are fewer."""
        return UnseenTiles(self.images[:count], self.labels[:count])


def unseen_tiles(patches: list[Patch]) -> dict[str, UnseenTiles]:
    """Unseen synthetic tiles and the given patches, each at both resolutions."""
    sets = {
        f"synthetic_unseen_{m}_mpp": UnseenTiles(*render_tiles(TEST_SEED, TEST_TILES, m))
        for m in MPPS
    }
    labels = np.array([p.label for p in patches])
    for mpp in MPPS:
        at_mpp = [p.image if mpp == 0.25 else at_half_resolution(p.image) for p in patches]
        images = np.stack([centre_crop(image) for image in at_mpp])
        sets[f"real_held_out_{mpp}_mpp"] = UnseenTiles(images, labels)
    return sets


def predict(
    model: nn.Module, tiles: UnseenTiles, disturb: Disturbance | None = None
) -> NDArray[np.int64]:
    """Predicted class (N,) of each tile, or of what ``disturb`` makes of it."""
    model.eval()
    parts = []
    labels = torch.from_numpy(tiles.labels)
    for pixels, right in zip(as_tensor(tiles.images).split(50), labels.split(50), strict=True):
        images = pixels.float() / 255
        if disturb is not None:
            images = disturb(model, images, right)
        with torch.no_grad():
            parts.append(model(normalised(images)).argmax(1))
    return torch.cat(parts).numpy()


def balanced_accuracy(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Mean of the share of normal and the share of tumour tiles recognised."""
    return float(np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]))


def measure(
    model: nn.Module, sets: dict[str, UnseenTiles], disturb: Disturbance | None = None
) -> dict[str, Any]:
    """Balanced accuracy on each set, with its n."""
    return {
        name: {
            "balanced_accuracy": round(
                balanced_accuracy(tiles.labels, predict(model, tiles, disturb)), 4
            ),
            "n": len(tiles.labels),
        }
        for name, tiles in sets.items()
    }
