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
        wide = torch.promote_types(maps.dtype, torch.float32)
        if self._how != "mean":
            maps = maps.to(wide)
        if self._how == "square":
            maps = maps.square()
        norms = exact(torch.linalg.vector_norm(maps.flatten(1), dim=1, dtype=wide))
        if self._sum is None or self._squares is None:
            shape = (len(self.samples), *maps.shape[1:])
            # In the maps' own memory layout, or every addition would be across it.
            self._sum = torch.zeros_like(maps[:1], dtype=wide).expand(shape).clone()
            self._squares = norms.new_zeros(len(self.samples))
            if self._how == "variance":
                self._scatter = torch.zeros_like(self._sum)
        rows = None if len(tiles) == len(self.samples) else tiles.to(maps.device)
        if self._scatter is not None:
            _add(self._scatter, self._scattered(maps, tiles), rows)
        _add(self._sum, maps, rows)
        self.samples[tiles] += 1
        # On the device: a number fetched for every sample would make the device wait for it.
        _add(self._squares, norms.square(), rows)

    def _scattered(self, maps: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
        """What a sample adds to the sum of squared distances from the mean (Welford 1962)."""
        assert self._sum is not None
        seen = self.samples[tiles].to(maps.device, maps.dtype)[:, None, None, None]
        before = self._sum[tiles.to(maps.device)] / seen.clamp(min=1)
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


def _add(total: torch.Tensor, values: torch.Tensor, rows: torch.Tensor | None) -> None:
    """Add to some rows of a total, in one pass over memory; None: to all."""
    if rows is None:
        total.add_(values)
    else:
        total.index_add_(0, rows, values.to(total.dtype))
