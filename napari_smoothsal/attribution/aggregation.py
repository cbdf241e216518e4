"""Noise samples become one map: their mean, the mean of their squares, or their variance."""

from __future__ import annotations

import torch

from napari_smoothsal.attribution.jitter import moved
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
        self._seen: torch.Tensor | None = None

    def add(
        self, maps: torch.Tensor, tiles: torch.Tensor, shift: tuple[int, int] | None = None
    ) -> None:
        """Take in attributions.

        Parameters
        ----------
        maps
            (n, C, h, w): one sample of n tiles.
        tiles
            (n,) which tiles those are, ascending, on the CPU.
        shift
            (y, x) pixels to move the maps by, of samples that saw the image shifted; what the
            move brings in was not seen. None throughout, where all samples saw the same.
        """
        # At least float32: a sum in bfloat16 stops growing after some hundred samples.
        wide = torch.promote_types(maps.dtype, torch.float32)
        if self._how != "mean":
            maps = maps.to(wide)
        if self._how == "square":
            maps = maps.square()
        seen = None
        if shift is not None:
            maps = moved(maps, shift)
            seen = moved(maps.new_ones((1, 1, *maps.shape[2:])), shift).expand(
                len(maps), -1, -1, -1
            )
        norms = exact(torch.linalg.vector_norm(maps.flatten(1), dim=1, dtype=wide))
        if self._sum is None or self._squares is None:
            shape = (len(self.samples), *maps.shape[1:])
            # In the maps' own memory layout, or every addition would be across it.
            self._sum = torch.zeros_like(maps[:1], dtype=wide).expand(shape).clone()
            self._squares = norms.new_zeros(len(self.samples))
            if self._how == "variance":
                self._scatter = torch.zeros_like(self._sum)
            if seen is not None:
                self._seen = seen.new_zeros((shape[0], *seen.shape[1:]))
        rows = None if len(tiles) == len(self.samples) else tiles.to(maps.device)
        if self._scatter is not None:
            scattered = self._scattered(maps, tiles)
            _add(self._scatter, scattered if seen is None else scattered * seen, rows)
        _add(self._sum, maps, rows)
        if seen is not None and self._seen is not None:
            _add(self._seen, seen, rows)
        self.samples[tiles] += 1
        # On the device: a number fetched for every sample would make the device wait for it.
        _add(self._squares, norms.square(), rows)

    def _scattered(self, maps: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
        """What a sample adds to the sum of squared distances from the mean (Welford 1962)."""
        assert self._sum is not None
        seen = self._counts(maps)[tiles.to(maps.device)]
        before = self._sum[tiles.to(maps.device)] / seen.clamp(min=1)
        return torch.where(seen > 0, (maps - before).square() * seen / (seen + 1), 0)

    def result(self) -> torch.Tensor:
        """(B, C, h, w) aggregate of the samples so far."""
        assert self._sum is not None, "no sample was added"
        total = self._sum if self._scatter is None else self._scatter
        return total / self._counts(total).clamp(min=1)

    def _counts(self, like: torch.Tensor) -> torch.Tensor:
        """(B, 1, h, w) or (B, 1, 1, 1): how many samples saw each pixel."""
        if self._seen is not None:
            return self._seen.to(like.dtype)
        return self.samples.to(like.device, like.dtype)[:, None, None, None]

    def relative_standard_error(self) -> torch.Tensor:
        """(B,) on the CPU: root of the summed variance of the mean, over the norm of the mean.

        NaN with fewer than two samples, and of a variance, whose error the samples' spread does
        not tell. Of samples that were shifted, pixels not seen count as zeros in all of them, which
        overstates it a little.
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
