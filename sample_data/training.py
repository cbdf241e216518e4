"""The training loop of all demonstration models, and what makes it repeatable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SEED = 7
TEST_SEED = 1_000_000
"""First seed of the synthetic tiles that are measured on; those trained on count up from 0."""
_WEIGHT_DECAY = 0.02


class Pool(Protocol):
    """Tiles to draw from."""

    def draw(self, count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augmented tiles float32 (count, 3, side, side) from 0 to 1, and what to answer."""


Loss = Callable[[Tensor, Tensor], Tensor]
"""Number to minimise, of logits and what was to be answered."""

Disturbance = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Other tiles to answer the same for: of a network, tiles from 0 to 1, and the right answers."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    steps
        Batches.
    rate
        Highest learning rate; it rises and falls in one cycle.
    seed
        Of drawing and augmentation.
    side
        Side of the tiles in pixels.
    batch
        Tiles of a batch, shared equally by the pools.
    """

    steps: int
    rate: float
    seed: int
    side: int
    batch: int = 32


def make_deterministic() -> None:
    """Have this process compute the same bits every time."""
    torch.use_deterministic_algorithms(True)
    # Another number of threads adds up in another order; one is what every machine has.
    torch.set_num_threads(1)


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Images (N, H, W, 3) as (N, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def normalised(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) from 0 to 1 as the networks take them."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def render_all(
    render: Callable[..., tuple[NDArray[np.uint8], NDArray[Any]]],
    tasks: Sequence[tuple[Any, ...]],
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Images and labels of all tasks, one after the other, by two processes.

    Parameters
    ----------
    render
        Function of a module: images (N, H, W, 3) and their labels (N, ...).
    tasks
        Its arguments, time after time.
    """
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        parts = list(workers.map(render, *zip(*tasks, strict=True)))
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def train(
    model: nn.Module,
    pools: Sequence[Pool],
    loss: Loss,
    schedule: Schedule,
    disturb: Disturbance | None = None,
) -> None:
    """Minimise the loss, in place, with equal shares of every pool in each batch.

    Parameters
    ----------
    model
        Network; left in evaluation mode.
    pools
        Where the tiles come from; one given twice has twice the share.
    loss, schedule
        What to minimise, and how long.
    disturb
        Replaces each batch's tiles: adversarial training.
    """
    generator = torch.Generator().manual_seed(schedule.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.rate, weight_decay=_WEIGHT_DECAY)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=schedule.rate, total_steps=schedule.steps, pct_start=0.15
    )
    share = schedule.batch // len(pools)
    model.train().to(memory_format=torch.channels_last)
    started, recent = time.perf_counter(), 0.0
    for step in range(1, schedule.steps + 1):
        drawn = [pool.draw(share, schedule.side, generator) for pool in pools]
        images = torch.cat([images for images, _ in drawn])
        answers = torch.cat([answers for _, answers in drawn])
        if disturb is not None:
            images = disturb(model, images, answers)
        logits = model(normalised(images).to(memory_format=torch.channels_last))
        value = loss(logits, answers)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        cycle.step()
        recent += (float(value.detach()) - recent) / min(step, 50)
        if step % 50 == 0:
            print(f"  step {step}: loss {recent:.3f}, {time.perf_counter() - started:.0f} s")
    model.eval().to(memory_format=torch.contiguous_format)
