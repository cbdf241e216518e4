"""What the three classifiers share: classes, tiles, loss and most of the card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_smoothsal.sample_data.augmentation import augment
from napari_smoothsal.sample_data.model_folder import REAL_PATCHES
from napari_smoothsal.sample_data.patches import Patch, at_half_resolution
from napari_smoothsal.sample_data.tiles import render_tiles
from napari_smoothsal.sample_data.training import MEAN, STD, as_tensor, render_all

SIDE = 224
SYNTHETIC_SIDE = 160  # pre-training sees smaller crops: half the cost, the same cells
MPPS = (0.25, 0.5)
TRAINING_TILES = 512
"""Synthetic training tiles at each resolution; their seeds count up from 0."""
_CHUNK = 32


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles to draw from: uint8 (N, 3, H, W) and labels (N,), 1 for tumour."""

    images: Tensor
    labels: Tensor

    def draw(self, count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` augmented tiles of ``side`` px, half of them tumour, and their labels."""
        chosen = []
        for label in (0, 1):
            among = torch.nonzero(self.labels == label)[:, 0]
            picks = torch.randint(len(among), (count // 2,), generator=generator)
            chosen.append(among[picks])
        index = torch.cat(chosen)
        return augment(self.images[index], side, generator), self.labels[index]


def synthetic_pool(tiles: int = TRAINING_TILES) -> LabelledTiles:
    """The first ``tiles`` synthetic training tiles at each resolution, with a rim to crop from."""
    tasks = [(first, _CHUNK, mpp, 256) for mpp in MPPS for first in range(0, tiles, _CHUNK)]
    images, labels = render_all(render_tiles, tasks)
    return LabelledTiles(as_tensor(images), torch.from_numpy(labels))


def real_pool(patches: list[Patch]) -> LabelledTiles:
    """Real patches at 0.25 um per pixel, and reduced to 0.5."""
    images = [p.image for p in patches] + [at_half_resolution(p.image) for p in patches]
    return LabelledTiles(as_tensor(np.stack(images)), torch.tensor([p.label for p in patches] * 2))


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, with smoothed labels, of logits (B, 2) and labels (B,)."""
    return F.cross_entropy(logits, labels, label_smoothing=0.05)


def card_fields(
    name: str, architecture: dict[str, Any], metrics: dict[str, Any], notes: str
) -> dict[str, Any]:
    """Fields of a classifier's card; see `model_folder.write_model`."""
    return {
        "name": name,
        "kind": "classification",
        "class_names": ("normal", "tumour"),
        "default_target": "tumour",
        "background": "normal",
        "input_size": SIDE,
        "input_mpp": 0.5,
        "input_mpp_range": MPPS,
        "mean": MEAN,
        "std": STD,
        "architecture": architecture,
        "training_data": (
            f"{TRAINING_TILES * len(MPPS)} synthetic H&E tiles made by "
            "napari_smoothsal.sample_data.tiles (half at 0.25, half at 0.5 um per pixel), and 40 "
            + REAL_PATCHES.format(reduced=", also reduced to 0.5")
        ),
        "metrics": metrics,
        "notes": notes,
    }
