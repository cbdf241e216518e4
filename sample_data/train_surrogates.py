"""Train the bilinear surrogates of the demonstration models.

``SMOOTHSAL_DATA=... python -m napari_smoothsal.sample_data.train_surrogates MODEL [FOLDER]``

On the tiles that the models were trained on, synthetic and real; what they were measured on stays
unseen. The checkpoint lies in FOLDER's parent while it trains.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.core.training import SurrogateTraining
from napari_smoothsal.denoise.surrogate_trainer import History
from napari_smoothsal.denoise.surrogate_training import train_surrogate
from napari_smoothsal.models import Model, load_model
from napari_smoothsal.models.surrogate import save_surrogate
from napari_smoothsal.sample_data.classification import SIDE, real_pool, synthetic_pool
from napari_smoothsal.sample_data.patches import load_patches, split_patches
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tiles
from napari_smoothsal.sample_data.training import as_tensor, make_deterministic, render_all
from napari_smoothsal.slides.turning import turned

COMPARE_STEPS = 300
STEPS = {"demo-classifier": 3000}
"""The others are within 2 % of their last loss after the default below."""
_STEPS = 1500
_SYNTHETIC = 256
"""Synthetic tiles at each resolution, the first of those that the models were trained on."""
_CHUNK = 32


class Tiles:
    """Tiles in memory: uint8 (N, 3, H, W), cut to a side."""

    def __init__(self, images: torch.Tensor, side: int) -> None:
        self._images, self._side = images, side

    def __len__(self) -> int:
        return len(self._images)

    @property
    def fingerprint(self) -> str:
        """Of their pixels."""
        return hashlib.sha256(self._images.numpy().tobytes()).hexdigest()

    @property
    def groups(self) -> range:
        """Each tile is drawn by itself: a group of its own."""
        return range(len(self._images))

    def draw(self, indices: Sequence[int], chance: random.Random | None) -> torch.Tensor:
        """(n, 3, side, side): cut and turned by chance, or from the middle."""
        tiles = []
        room = self._images.shape[-1] - self._side
        for index in indices:
            y, x = (chance.randint(0, room) if chance else room // 2 for _ in range(2))
            tile = self._images[index, :, y : y + self._side, x : x + self._side]
            tiles.append(turned(tile, chance))
        return torch.stack(tiles)


def tiles_of(model: Model) -> tuple[Tiles, list[int]]:
    """Training tiles of a demonstration model, and the kind of each: batches mix all kinds."""
    training, _ = split_patches(load_patches())
    real = real_pool(training).images
    if model.readout.dense:
        tasks = [(first, _CHUNK) for first in range(0, 2 * _SYNTHETIC, _CHUNK)]
        synthetic, side = as_tensor(render_all(render_masked_tiles, tasks)[0]), real.shape[-1]
    else:
        synthetic, side = synthetic_pool(_SYNTHETIC).images, SIDE
    tiles = Tiles(torch.cat([synthetic, real]), side)
    explainer = Explainer(model, [], Compute(device="cpu", precision="fp32"), scope="tiles")
    kinds: list[int] = []
    for start in range(0, len(tiles), 32):
        indices = range(start, min(start + 32, len(tiles)))
        decision = explainer.explain(tiles.draw(indices, None), [(i,) for i in indices]).decision
        kinds += decision.predicted.tolist()
    return tiles, [2 * k + int(i >= len(synthetic)) for i, k in enumerate(kinds)]


def _told(step: int, history: History) -> None:
    beside = ""
    if step <= COMPARE_STEPS:
        beside = f", random start {history.other_start[-1][1]:.4f}"
    print(f"step {step}: held out {history.validation[-1][1]:.4f}{beside}", flush=True)


def main() -> None:
    """Train one and write it beside its model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?", type=Path)
    given = parser.parse_args()
    make_deterministic()
    folder = given.folder or Path(__file__).parent / "models" / given.model
    options = SurrogateTraining(steps=STEPS.get(given.model, _STEPS), compare_steps=COMPARE_STEPS)
    model = load_model(given.model)
    tiles, kinds = tiles_of(model)
    print(f"{len(tiles)} tiles, kinds {np.bincount(kinds).tolist()}")
    with tempfile.TemporaryDirectory() as checkpoint:
        trained = train_surrogate(
            model, tiles, options, Path(checkpoint), classes=kinds, told=_told
        )
    history = trained.history
    figures = {
        "tiles": len(tiles),
        "best_step": history.best[0],
        "held_out_loss": round(history.best[1], 4),
        "held_out_loss_of_the_start": round(history.validation[0][1], 4),
        "held_out_loss_of_a_random_start": history.other_start,
        "error_left": {n: round(a / b, 4) for n, (a, b) in history.losses.items()},
    }
    save_surrogate(trained.surrogate, model, folder, options.model_dump(mode="json"), figures)


if __name__ == "__main__":
    main()
