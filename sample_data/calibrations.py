"""Calibrate the demonstration classifier's maps on synthetic tissue, and write it beside its card.

``python -m napari_smoothsal.sample_data.calibrations``
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import torch

from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.measured_limits import calibrate
from napari_smoothsal.models import load_model
from napari_smoothsal.models.calibration_file import CALIBRATION, save_calibrations
from napari_smoothsal.sample_data.normal_tissue import MPP
from napari_smoothsal.sample_data.tiles import render_tile
from napari_smoothsal.sample_data.training import as_tensor

MODEL = "demo-classifier"
LAYERS = ("layer1", "layer2", "layer3", "layer4")
METHODS = ("gradient", "activation_x_gradient", "deeplift")
NORMAL_TILES, TUMOUR_TILES = 200, 60
NORMAL_SEED, TUMOUR_SEED = 7_100_000, 7_200_000
"""Far from the seeds of training and of measuring."""


def rendered(first_seed: int, count: int, tumour: bool) -> torch.Tensor:
    """(count, 3, 224, 224) uint8 tiles of one kind."""
    tiles = [render_tile(first_seed + number, MPP, tumour) for number in range(count)]
    return as_tensor(np.stack(tiles))


def write_calibration() -> Path:
    """Write the file into the model's folder, in place of one that is there."""
    path = Path(__file__).parent / "models" / MODEL / CALIBRATION
    path.unlink(missing_ok=True)
    model = load_model(MODEL)
    specs = [SaliencySpec(layer=layer, method=method) for layer, method in product(LAYERS, METHODS)]
    measured = calibrate(
        model,
        rendered(NORMAL_SEED, NORMAL_TILES, tumour=False),
        specs,
        of_target=rendered(TUMOUR_SEED, TUMOUR_TILES, tumour=True),
        compute=Compute(device="cpu", precision="fp32"),
    )
    return save_calibrations(model, measured, path)


if __name__ == "__main__":
    print(write_calibration())
