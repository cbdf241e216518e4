"""Train the demonstration classifier on against adversarial changes of its tiles.

``SMOOTHSAL_DATA=... python -m napari_smoothsal.sample_data.train_robust [FOLDER]``

Gradients of adversarially trained networks follow what people see (Santurkar et al., NeurIPS
2019). This one starts from the shipped demo-classifier and answers only tiles that were changed
to mislead it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from napari_smoothsal.models.loading import load_model
from napari_smoothsal.sample_data.adversary import ProjectedGradient
from napari_smoothsal.sample_data.classification import (
    SIDE,
    SYNTHETIC_SIDE,
    card_fields,
    loss,
    real_pool,
    synthetic_pool,
)
from napari_smoothsal.sample_data.measuring import UnseenTiles, measure, unseen_tiles
from napari_smoothsal.sample_data.model_folder import build, chosen_folder, write_model
from napari_smoothsal.sample_data.normal_tissue import write_normal_tissue
from napari_smoothsal.sample_data.patches import load_patches, split_patches
from napari_smoothsal.sample_data.train_classifier import ARCHITECTURE
from napari_smoothsal.sample_data.training import SEED, Schedule, make_deterministic, train

NAME, START = "demo-classifier-robust", "demo-classifier"
RADIUS = 3.0
"""Largest change of a tile of 224 px that is trained against (L2, values from 0 to 1)."""
MEASURED_RADII, MEASURED_STEPS = (1.0, RADIUS), 20
ATTACKED_TILES = 100
"""How many tiles of each test set are attacked: twenty steps each take their time."""
TRAINING_TILES = 256
SCHEDULE = Schedule(steps=400, rate=1e-3, seed=SEED + 3, side=SYNTHETIC_SIDE)
# Smaller crops, for speed; the same change of each value on average.
TRAINING_ATTACK = ProjectedGradient(RADIUS * SCHEDULE.side / SIDE, steps=3)
NOTES = (
    f"Adversarially trained: {SCHEDULE.steps} steps from the weights of the demo-classifier, on "
    f"crops of {SCHEDULE.side} px (of the real patches and the first {TRAINING_TILES} synthetic "
    f"tiles of each resolution) changed by {TRAINING_ATTACK.steps} steps of projected gradient "
    f"ascent in an L2 ball of radius {TRAINING_ATTACK.radius:.2f} (values from 0 to 1), which is "
    f"{RADIUS} for tiles of {SIDE} px. 'robust' is the balanced accuracy under {MEASURED_STEPS} "
    "such steps, from the tile itself and tried once: stronger attacks will find more. The "
    "demo-classifier beside it was attacked in the same way with its own gradients. Robustness "
    "is paid for with accuracy on clean tiles. The 20 held-out patches come from the same four "
    "slides as the 40 trained on (none within 512 px of one of those)."
)


def robustness(models: dict[str, nn.Module], sets: dict[str, UnseenTiles]) -> dict[str, Any]:
    """Balanced accuracy of each model under each measured attack."""
    return {
        f"robust_l2_{radius}_pgd_{MEASURED_STEPS}": {
            name: measure(model, sets, ProjectedGradient(radius, MEASURED_STEPS))
            for name, model in models.items()
        }
        for radius in MEASURED_RADII
    }


def main() -> None:
    """Train, measure and write the model."""
    folder = chosen_folder(__doc__, NAME)
    make_deterministic()
    training, held_out = split_patches(load_patches())
    print("rendering the synthetic training tiles")
    pools = [synthetic_pool(TRAINING_TILES), real_pool(training)]
    start = load_model(START).module
    model = build(ARCHITECTURE)
    model.load_state_dict(start.state_dict())
    print("adversarial training")
    train(model, pools, loss, SCHEDULE, TRAINING_ATTACK)
    sets = unseen_tiles(held_out)
    figures = measure(model, sets)
    print(figures)
    print("attacks")
    attacked = {name: tiles.first(ATTACKED_TILES) for name, tiles in sets.items()}
    figures |= robustness({NAME: model, START: start}, attacked)
    write_model(folder, model, card_fields(NAME, ARCHITECTURE, figures, NOTES))
    write_normal_tissue(folder)
    print(figures)


if __name__ == "__main__":
    main()
