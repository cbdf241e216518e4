"""RegionFill: what is put in the place of some pixels of a view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from napari_smoothsal.core.registry import Registry


@dataclass(frozen=True)
class RegionFill:
    """One kind of fill.

    Attributes
    ----------
    name
        As in ``what_if(..., fill=name)``.
    title
        In plain words, for lists and captions.
    about
        What it leaves and what it takes away, in a sentence.
    make
        From the colours (3, H, W), 0..1, of a view and where it is hidden, (H, W) bool, to
        colours (3, H, W), of which those of hidden pixels are used. Some are hidden, not all.
    """

    name: str
    title: str
    about: str
    make: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


REGION_FILLS: Registry[RegionFill] = Registry("fill")
