"""Models that the workers of a cluster make for themselves: they find them here by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from two_class_card import two_class_card

from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18


class Slow(NarrowResNet18):
    """Takes its time for every pass, so that a test can do something to it meanwhile."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get("SMOOTHSAL_TEST_SLEEP_S", "0")))
        return super().forward(x)


def small_model() -> Model:
    """Random weights, for tiles of 64 px at 0.5 um/px."""
    torch.manual_seed(0)
    return Model(Slow(width=8).eval(), two_class_card("small"))


class Counted:
    """`small_model`, with ``ballast_bytes`` of weight; notes each process that it is sent to.

    Parameters
    ----------
    file
        Gets a line with the process for each time that it is unpickled.
    """

    def __init__(self, file: Path, ballast_bytes: int = 1 << 20) -> None:
        self.file = file
        self.ballast = os.urandom(ballast_bytes)

    def __call__(self) -> Model:
        return small_model()

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        with self.file.open("a") as file:
            file.write(f"{os.getpid()}\n")
