"""Small slides and a command that the tests of batches share."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from tiff_slides import written

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18

COMMAND = [sys.executable, "-c", "from napari_smoothsal.cli import main; main()", "run"]


def tissue_tiff(path: Path, seed: int = 0, side: int = 256) -> Path:
    """A slide of structured noise in the colours of tissue, 0.5 um/px."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (side // 8, side // 8, 1)) * [60, 110, 30] + [140, 60, 160]
    return written(path, np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8))


def tissue_tiffs(folder: Path, count: int, side: int = 256) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [tissue_tiff(folder / f"slide{i}.tif", i, side) for i in range(count)]


class Deadly(NarrowResNet18):
    """Ends its process at a green image, as a slide does that crashes its decoder."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        green = x[:, 1] - x[:, 0]
        if multiprocessing.parent_process() is not None and float(green.mean()) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


class Broken(NarrowResNet18):
    """From a green image on fails at every image, as CUDA does after an illegal access."""

    broken = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.broken = self.broken or float((x[:, 1] - x[:, 0]).mean()) > 1
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().forward(x)


def deadly_model() -> Model:
    """For processes that are spawned: they find it by its name."""
    return _model(Deadly)


def broken_model() -> Model:
    """As `deadly_model`."""
    return _model(Broken)


def _model(network: type[NarrowResNet18]) -> Model:
    torch.manual_seed(0)
    card = ModelCard(
        name="deadly",
        kind="classification",
        class_names=("normal", "tumour"),
        default_target="tumour",
        input_size=64,
        input_mpp=0.5,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
    )
    return Model(network(width=8).eval(), card)


def green_tiff(path: Path) -> Path:
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[..., 1] = 200
    return written(path, pixels)
