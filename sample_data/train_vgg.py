"""Train a classifier without strided convolutions, with the classes of the demo-classifier.

``SMOOTHSAL_DATA=... python -m napari_smoothsal.sample_data.train_vgg [FOLDER]``

It stands for VGG-19 in a paper's tables: max-pooling instead of strided convolutions, hence no
checkerboard to remove.
"""

from __future__ import annotations

import torch

from napari_smoothsal.sample_data.classification import (
    SYNTHETIC_SIDE,
    card_fields,
    loss,
    real_pool,
    synthetic_pool,
)
from napari_smoothsal.sample_data.measuring import measure, unseen_tiles
from napari_smoothsal.sample_data.model_folder import build, chosen_folder, write_model
from napari_smoothsal.sample_data.normal_tissue import write_normal_tissue
from napari_smoothsal.sample_data.patches import load_patches, split_patches
from napari_smoothsal.sample_data.training import SEED, Schedule, make_deterministic, train

NAME = "demo-vgg"
ARCHITECTURE = {
    "library": "napari_smoothsal",
    "name": "narrow_vgg",
    "width": 16,
    "num_classes": 2,
    "convolutions": (1, 1, 2, 2, 2),
}
SYNTHETIC = Schedule(steps=300, rate=3e-3, seed=SEED, side=SYNTHETIC_SIDE)
JOINT = Schedule(steps=350, rate=2e-3, seed=SEED + 1, side=192)
NOTES = (
    "For comparison: max-pooling and convolutions of stride 1, so that its gradients have no "
    "checkerboard. It was trained on crops of 160 and 192 px, for fewer steps than the "
    "demo-classifier. The 20 held-out patches come from the same four slides as the 40 trained "
    "on (none within 512 px of one of those); at 0.5 um per pixel they are reduced, and their "
    "mirror image fills the rim. No slide was left out as a whole: on another stain, expect "
    "errors, as the demo-classifier's figures show."
)


def main() -> None:
    """Train, measure and write the model."""
    folder = chosen_folder(__doc__, NAME)
    make_deterministic()
    torch.manual_seed(SEED)
    training, held_out = split_patches(load_patches())
    print("rendering the synthetic training tiles")
    synthetic = synthetic_pool()
    model = build(ARCHITECTURE)
    print("synthetic tiles")
    train(model, [synthetic], loss, SYNTHETIC)
    print("synthetic tiles and real patches")
    train(model, [synthetic, real_pool(training)], loss, JOINT)
    figures = measure(model, unseen_tiles(held_out))
    write_model(folder, model, card_fields(NAME, ARCHITECTURE, figures, NOTES))
    write_normal_tissue(folder)
    print(figures)


if __name__ == "__main__":
    main()
