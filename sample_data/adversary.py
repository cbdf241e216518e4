"""Tiles that a network takes for the other class: to train against, and to measure with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_smoothsal.sample_data.training import normalised


@dataclass(frozen=True)
class ProjectedGradient:
    """Projected gradient ascent of the loss in an L2 ball (Madry et al., ICLR 2018).

    Parameters
    ----------
    radius
        Euclidean length of the change of a whole tile, of values from 0 to 1 in all pixels and
        channels: 3.0 in a tile of 224 px moves a value by 0.008 in the root mean square.
    steps
        Gradient steps, each of 2.5 radius / steps, from the tile itself.
    """

    radius: float
    steps: int

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Changed tiles within the radius, and from 0 to 1.

        Parameters
        ----------
        model
            Attacked as it is when it is used: in evaluation mode, then put back.
        images
            float32 (B, 3, H, W) from 0 to 1.
        labels
            The right classes (B,).
        """
        was_training = model.training
        model.eval()
        change = torch.zeros_like(images)
        for _ in range(self.steps):
            change.requires_grad_(True)
            value = F.cross_entropy(model(normalised(images + change)), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(value, change)
            uphill = gradient / _lengths(gradient).clamp_min(1e-12)
            change = change.detach() + 2.5 * self.radius / self.steps * uphill
            change = change * (self.radius / _lengths(change).clamp_min(self.radius))
            change = (images + change).clamp(0, 1) - images
        model.train(was_training)
        return images + change


def _lengths(changes: Tensor) -> Tensor:
    """Euclidean length of each change (B, 3, H, W), as (B, 1, 1, 1)."""
    lengths: Tensor = torch.linalg.vector_norm(changes, dim=(1, 2, 3), keepdim=True)
    return lengths
