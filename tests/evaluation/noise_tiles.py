"""Labelled tiles that exist only as noise, for tests of evaluations."""

from collections.abc import Sequence

import torch


class NoiseTiles:
    """Noise with labels."""

    def __init__(self, labels: Sequence[int], side: int = 64) -> None:
        self.labels = list(labels)
        generator = torch.Generator().manual_seed(0)
        shape = (len(self.labels), 3, side, side)
        self._images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        return f"folder/tile{index}"

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        return self._images[list(indices)]
