"""SmoothGrad's noise, as a function of the place: the same tile gets the same noise anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

Place = tuple[int, ...]
"""A tile's origin on the model's global pixel grid, or its position among given images."""


def place_seed(seed: int, sample: int, place: Place) -> int:
    """Seed of one noise sample at one place: a hash, so that neighbours are independent."""
    key = ",".join(map(str, (seed, sample, *place))).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def add_noise(
    images: torch.Tensor, places: Sequence[Place], sigma: float, seed: int, sample: int
) -> torch.Tensor:
    """Add Gaussian noise to each image of a batch.

    Parameters
    ----------
    images
        (B, C, H, W), normalised.
    places
        B places; they and the seed determine the noise, whatever the batch. (CPU and CUDA
        generators differ, so the two devices see different noise.)
    sigma
        Standard deviation, in normalised units.
    """
    noisy = torch.empty_like(images)
    generator = torch.Generator(device=images.device)
    for row, place in enumerate(places):
        generator.manual_seed(place_seed(seed, sample, place))
        # Drawn in float32 and in one memory layout, so that every precision sees the same noise.
        noise = torch.randn(images.shape[1:], generator=generator, device=images.device)
        noisy[row] = images[row] + sigma * noise
    return noisy
