"""What the numbers are that a network puts out: logits, probabilities or their logarithms.

Seen on probe tiles: noise of ordinary contrast and of an excessive one, which drives whatever is
not bounded by its own form out of the range of probabilities.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

OutputKind = Literal["logits", "softmax", "log_softmax", "sigmoid"]
"""``softmax``: probabilities that sum to 1. ``log_softmax``: the logarithms of such, which differ
from logits by a constant. ``sigmoid``: values from 0 to 1, each on its own."""

_CONTRASTS = (1.0, 30.0)
_LEVELS = (-1e5, -1.0, 0.0, 1.0, 1e5)


def noise_tiles(channels: int, side: int) -> torch.Tensor:
    """(2, channels, side, side) normalised noise of either contrast."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(_CONTRASTS), channels, side, side, generator=generator)
    return noise * torch.tensor(_CONTRASTS).reshape(-1, 1, 1, 1)


def flat_tiles(channels: int, side: int) -> torch.Tensor:
    """(5, channels, side, side) of one value each, from far below to far above what stain has."""
    levels = torch.tensor(_LEVELS).reshape(-1, 1, 1, 1)
    return levels.expand(-1, channels, side, side).clone()


@torch.no_grad()
def kind_of(output: torch.Tensor) -> OutputKind:
    """What an output (B, classes, ...) of varied tiles looks like.

    ``sigmoid`` is only what it looks like: logits may lie between 0 and 1 as well, of few tiles.
    """
    precision = torch.finfo(output.dtype).eps if output.is_floating_point() else 0.0
    values = output.detach().double().flatten(2) if output.ndim > 2 else output.detach().double()
    values = values[values.flatten(1).isfinite().all(1)] if output.ndim > 1 else values
    if not values.numel():
        return "logits"
    near = max(1e-4, precision)
    within = bool((values >= 0).all() and (values <= 1).all())
    if output.ndim > 1 and output.shape[1] > 1:
        if within and bool(((values.sum(1) - 1).abs() < near).all()):
            return "softmax"
        # A logarithm's own rounding grows with the size of what is most likely: not at all.
        if bool((values <= near).all() and (values.logsumexp(1).abs() < near).all()):
            return "log_softmax"
    # What is the same everywhere says nothing: an untrained layer of zeros, say.
    return "sigmoid" if within and float(values.max() - values.min()) > 0 else "logits"


@torch.no_grad()
def is_made_of(output: torch.Tensor, logits: torch.Tensor, kind: str) -> bool:
    """Whether an output (B, classes, ...) is softmax, sigmoid or their logarithm of logits."""
    if output.shape != logits.shape or (output.ndim < 2 and "softmax" in kind):
        return False
    wide = logits.double()
    if "softmax" in kind:
        expected = wide.softmax(1) if kind == "softmax" else wide.log_softmax(1)
    else:
        expected = torch.sigmoid(wide) if kind == "sigmoid" else F.logsigmoid(wide)
    near = max(1e-5, 4 * torch.finfo(output.dtype).eps)
    return torch.allclose(output.double(), expected, rtol=near, atol=near, equal_nan=True)
