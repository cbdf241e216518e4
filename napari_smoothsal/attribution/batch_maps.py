"""What is computed for one batch of tiles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_smoothsal.models import Decision


@dataclass(frozen=True)
class SpecMaps:
    """One spec's maps of one batch, on the CPU.

    Attributes
    ----------
    maps
        (B, C, h, w) float32, signed; C = 1 where the spec chooses a channel.
    target
        (B,) class explained; of a difference, the first; -1 of a hidden unit.
    standard_error
        (B,) relative standard error of the mean over noise samples; NaN without noise.
    samples
        (B,) noise samples drawn; 1 without noise.
    convergence_delta
        (B,) of methods that rescale: how far the sum of the map is from the score less the
        baseline's, the mean of the magnitudes over samples; else NaN.
    explained_px
        (B,) number of output pixels whose scores the explained scalar sums: 1 for one decision
        per tile; 0 where the class is predicted nowhere in the tile, whose map is zero.
    logits, probabilities
        (B, classes) of one noise-free pass of the network that is explained: another than the
        model's under denoisings that change the forward pass.
    """

    maps: torch.Tensor
    target: torch.Tensor
    standard_error: torch.Tensor
    samples: torch.Tensor
    convergence_delta: torch.Tensor
    explained_px: torch.Tensor
    logits: torch.Tensor
    probabilities: torch.Tensor


@dataclass(frozen=True)
class BatchMaps:
    """Everything computed for one batch, on the CPU.

    Attributes
    ----------
    specs
        One `SpecMaps` per spec, in the order of the specs.
    decision
        What one noise-free pass of the model says.
    """

    specs: list[SpecMaps]
    decision: Decision

    @property
    def finite(self) -> torch.Tensor:
        """(B,) bool: whether a tile's logits and all of its maps are finite numbers."""
        good = torch.isfinite(self.decision.logits).all(1)
        for spec in self.specs:
            good &= torch.isfinite(spec.maps).flatten(1).all(1)
            good &= torch.isfinite(spec.logits).all(1)
        return good
