"""SmoothGrad's noise, as a function of the place: the same tile gets the same noise anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

_BLOCK_PX = 256

Place = tuple[int, ...]
"""A tile's origin on the model's global pixel grid, or its position among given images."""


def place_seed(seed: int, sample: int, place: Place) -> int:
    """Seed of one noise sample at one place: a hash, so that neighbours are independent."""
    key = ",".join(map(str, (seed, sample, *place))).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def add_noise(
    images: Sequence[torch.Tensor] | torch.Tensor,
    places: Sequence[Place],
    sigma: float | torch.Tensor,
    seed: int,
    samples: Sequence[int],
    *,
    shared: bool = False,
) -> torch.Tensor:
    """Add Gaussian noise to each image of a batch.

    Parameters
    ----------
    images
        B of (C, H, W): normalised images, or a layer's outputs.
    places, samples
        B places and B numbers of samples; they and the seed determine the noise, whatever the
        batch. (CPU and CUDA generators differ, so the two devices see different noise.)
    sigma
        Standard deviation, in the images' units; or (B,) of them.
    shared
        Whether tiles see the same noise where they overlap: it then belongs to the pixel of the
        global grid, not to the tile, and its maps are those of any other cut into tiles. Places
        that are no origins on a grid keep noise of their own.
    """
    shape, device = images[0].shape, images[0].device
    noisy = images[0].new_empty((len(images), *shape)).contiguous(memory_format=torch.channels_last)
    generator = torch.Generator(device=device)
    scales = torch.as_tensor(sigma, device=device).expand(len(images))
    for row, (place, sample) in enumerate(zip(places, samples, strict=True)):
        if shared and len(place) == 2:
            noise = _field(shape, place, seed, sample, generator)
        else:
            noise = _drawn(shape, place_seed(seed, sample, place), generator)
        torch.addcmul(images[row], noise, scales[row], out=noisy[row])
    return noisy


def _drawn(shape: Sequence[int], seed: int, generator: torch.Generator) -> torch.Tensor:
    generator.manual_seed(seed)
    # Drawn in float32 and in one memory layout, so that every precision sees the same noise.
    return torch.randn(tuple(shape), generator=generator, device=generator.device)


def _field(
    shape: Sequence[int], origin: Place, seed: int, sample: int, generator: torch.Generator
) -> torch.Tensor:
    """(C, H, W): a window of the endless noise of one sample, which is drawn in blocks."""
    channels, height, width = shape
    (top, left), block = origin, _BLOCK_PX
    rows = range(top // block, -(-(top + height) // block))
    columns = range(left // block, -(-(left + width) // block))
    size = (channels, block, block)
    drawn = [
        torch.cat(
            [_drawn(size, place_seed(seed, sample, (y, x)), generator) for x in columns], dim=2
        )
        for y in rows
    ]
    y, x = top - rows[0] * block, left - columns[0] * block
    return torch.cat(drawn, dim=1)[:, y : y + height, x : x + width]
