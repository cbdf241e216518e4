"""Sums over many values in the most exact format that a device has."""

from __future__ import annotations

import torch


def exact(values: torch.Tensor) -> torch.Tensor:
    """Values in float64; in float32 on Apple's GPUs, which have no float64."""
    return values.float() if values.device.type == "mps" else values.double()
