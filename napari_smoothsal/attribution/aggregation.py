"""Noise samples become one map: their mean, the mean of their squares, or their variance."""

from __future__ import annotations

import torch

from napari_smoothsal.core.specs import Aggregate
from napari_smoothsal.models.exact import exact


class Aggregation:
    """A running aggregate of each tile's attributions, and how certain it is.

    Tiles may have seen different numbers of samples.

    Parameters
    ----------
    how
        ``"mean"`` (SmoothGrad), ``"square"`` (SmoothGrad squared, Hooker et al. 2019) or
        ``"variance"`` (VarGrad, Adebayo et al. 2018).
    tiles
        How many there are.
    """

    def __init__(self, how: Aggregate, tiles: int) -> None:
        self._how = how
        self.samples = torch.zeros(tiles, dtype=torch.int64)
        """(B,) samples seen."""
        self._mean: torch.Tensor | None = None
        self._scatter: torch.Tensor | None = None
        self._squares = torch.zeros(tiles, dtype=torch.float64)

    def add(self, maps: torch.Tensor, tiles: torch.Tensor) -> None:
        """Take in attributions.

        Parameters
        ----------
        maps
            (S, n, C, h, w): S samples of n tiles.
        tiles
            (n,) which tiles those are, ascending, on the CPU.
        """
        # At least float32: a mean in bfloat16 stops moving after some hundred samples.
        if maps.dtype != torch.float64:
            maps = maps.float()
        if self._how == "square":
            maps = maps.square()
        if self._mean is None:
            shape = (len(self.samples), *maps.shape[2:])
            self._mean = maps.new_zeros(shape)
            if self._how == "variance":
                self._scatter = maps.new_zeros(shape)
        # A slice where it is all of them: indexing would copy the maps twice.
        rows = slice(None) if len(tiles) == len(self.samples) else tiles.to(maps.device)
        for sample in maps:
            self.samples[tiles] += 1
            weight = (1 / self.samples[tiles].double()).to(maps.device, maps.dtype)
            weight = weight[:, None, None, None]
            before = self._mean[rows]
            change = sample - before
            after = torch.addcmul(before, change, weight)
            if self._scatter is not None:
                self._scatter[rows] += change * (sample - after)
            self._mean[rows] = after
            norms = torch.linalg.vector_norm(sample.flatten(1), dim=1)
            self._squares[tiles] += exact(norms).square().cpu().double()

    def result(self) -> torch.Tensor:
        """(B, C, h, w) aggregate of the samples so far."""
        assert self._mean is not None, "no sample was added"
        if self._scatter is None:
            return self._mean
        count = self.samples.to(self._scatter.device, self._scatter.dtype)
        return self._scatter / count[:, None, None, None]

    def relative_standard_error(self) -> torch.Tensor:
        """(B,) on the CPU: root of the summed variance of the mean, over the norm of the mean.

        NaN with fewer than two samples, and of a variance, whose error the samples' spread does
        not tell.
        """
        assert self._mean is not None, "no sample was added"
        norm = torch.linalg.vector_norm(self._mean.flatten(1), dim=1)
        norm = exact(norm).square().cpu().double()
        variance = (self._squares - self.samples * norm).clamp(min=0) / (self.samples - 1)
        error = (variance / self.samples).sqrt() / norm.sqrt()
        known = (self.samples > 1) & (self._how != "variance")
        return torch.where(known, error, torch.nan)
