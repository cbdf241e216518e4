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
        self._sum: torch.Tensor | None = None
        self._scatter: torch.Tensor | None = None
        self._squares: torch.Tensor | None = None

    def add(self, maps: torch.Tensor, tiles: torch.Tensor) -> None:
        """Take in attributions.

        Parameters
        ----------
        maps
            (n, C, h, w): one sample of n tiles.
        tiles
            (n,) which tiles those are, ascending, on the CPU.
        """
        # At least float32: a sum in bfloat16 stops growing after some hundred samples.
        if maps.dtype != torch.float64:
            maps = maps.float()
        if self._how == "square":
            maps = maps.square()
        norms = exact(torch.linalg.vector_norm(maps.flatten(1), dim=1))
        if self._sum is None or self._squares is None:
            shape = (len(self.samples), *maps.shape[1:])
            self._sum = maps.new_zeros(shape)
            self._squares = norms.new_zeros(len(self.samples))
            if self._how == "variance":
                self._scatter = maps.new_zeros(shape)
        # A slice where it is all of them: indexing would copy the maps twice.
        rows = slice(None) if len(tiles) == len(self.samples) else tiles.to(maps.device)
        if self._scatter is not None:
            self._scatter[rows] += self._scattered(maps, rows, tiles)
        self._sum[rows] += maps
        self.samples[tiles] += 1
        # On the device: a number fetched for every sample would make the device wait for it.
        self._squares[rows] += norms.square()

    def _scattered(
        self, maps: torch.Tensor, rows: slice | torch.Tensor, tiles: torch.Tensor
    ) -> torch.Tensor:
        """What a sample adds to the sum of squared distances from the mean (Welford 1962)."""
        assert self._sum is not None
        seen = self.samples[tiles].to(maps.device, maps.dtype)[:, None, None, None]
        before = self._sum[rows] / seen.clamp(min=1)
        return torch.where(seen > 0, (maps - before).square() * seen / (seen + 1), 0)

    def result(self) -> torch.Tensor:
        """(B, C, h, w) aggregate of the samples so far."""
        assert self._sum is not None, "no sample was added"
        total = self._sum if self._scatter is None else self._scatter
        return total / self.samples.to(total.device, total.dtype)[:, None, None, None]

    def relative_standard_error(self) -> torch.Tensor:
        """(B,) on the CPU: root of the summed variance of the mean, over the norm of the mean.

        NaN with fewer than two samples, and of a variance, whose error the samples' spread does
        not tell.
        """
        assert self._sum is not None and self._squares is not None, "no sample was added"
        norm = torch.linalg.vector_norm(self._sum.flatten(1), dim=1)
        squared = exact(norm).square().cpu().double() / self.samples.square()
        squares = self._squares.cpu().double()
        variance = (squares - self.samples * squared).clamp(min=0) / (self.samples - 1)
        error = (variance / self.samples).sqrt() / squared.sqrt()
        known = (self.samples > 1) & (self._how != "variance")
        return torch.where(known, error, torch.nan)
