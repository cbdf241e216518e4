"""A tile's superpixels, of which some are seen: what LIME and the Shapley methods change."""

from __future__ import annotations

import torch
from pydantic import Field

from napari_smoothsal.attribution.masking import Masked, MaskedOptions
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.attribution.segments import superpixels


class CoalitionOptions(MaskedOptions):
    """What methods that hide superpixels can be told."""

    size_px: int = Field(
        32,
        ge=2,
        description="About the side of a superpixel (a compact region of like colour), in px of "
        "the model: smaller ones show finer structures and need more passes.",
    )


def too_few(method: str, images: int, superpixels: int) -> str:
    """What to tell the user where a fit has fewer images than unknowns; else nothing."""
    if not superpixels or images > superpixels:
        return ""
    return (
        f"method {method!r}: in at least one tile there are too few scores to decide what each "
        "superpixel does, so the map's error is unknown; raise samples to several times the number "
        "of superpixels, or size_px"
    )


class Superpixels:
    """A tile in superpixels that can be hidden each by itself.

    Attributes
    ----------
    count
        How many there are.
    """

    def __init__(self, tile: PerturbedTile, options: CoalitionOptions) -> None:
        self._labels = superpixels(tile.colours, options.size_px).to(tile.image.device)
        self._masked = Masked(tile, options.fill)
        self._dtype = tile.image.dtype
        self._area = torch.bincount(self._labels.flatten()).cpu().double()
        self.count = len(self._area)

    def images(self, seen: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W): the tile with the superpixels that are seen, (n, count), on the CPU."""
        labels = self._labels.repeat_interleave(self._masked.channels, 1)
        # index_select, because indexing takes four times as long.
        masks = seen.to(labels.device, self._dtype).index_select(1, labels.flatten())
        return self._masked.through(masks.unflatten(1, labels.shape))

    def map(self, shares: torch.Tensor) -> torch.Tensor:
        """(1, H, W): each superpixel's share (count,) spread evenly over its pixels.

        So the sum over a region's pixels is the region's share, whatever tiles it was cut into.
        """
        return (shares / self._area).to(self._labels.device, self._dtype)[self._labels][None]

    def relative_error(self, shares: torch.Tensor, variances: torch.Tensor) -> float:
        """Of that map, of the shares' variances."""
        squared = (shares.square() / self._area).sum()
        return float(((variances / self._area).sum() / squared).sqrt())
