"""optimise_masks: what methods that optimise masks have besides a map: the masks, and how they
came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution.base import METHODS, MaskMethod
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.explainer import Explainer
from napari_smoothsal.attribution.mask_optimisation import Iteration
from napari_smoothsal.attribution.mask_terms import shown_share
from napari_smoothsal.attribution.mask_walker import MaskWalker
from napari_smoothsal.attribution.noise import Place
from napari_smoothsal.attribution.tiles import checked_images
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.models import Model

Part = Literal["product", "deletion", "insertion"]


@dataclass(frozen=True)
class OptimisedMasks:
    """The masks of a set of tiles; 1 shows the tile, 0 hides it.

    Attributes
    ----------
    maps
        (B, 1, H, W) float32 CPU tensor: 1 less the upsampled product, as `explain_tiles` gives it.
    masks
        (B, 1 or 2, mask_px, mask_px); of two the first is for deletion, the second for insertion.
    slopes
        Like the masks: how fast the objective rises with each cell, before the last step. It orders
        cells that are wholly shown, or wholly hidden, alike: the more it would cost to show a
        hidden one, or the less to hide a shown one, the higher. Of `extremal_perturbation` it is of
        the cells before they are smoothed.
    traces
        Of each tile its iterations.
    """

    maps: torch.Tensor
    masks: torch.Tensor
    slopes: torch.Tensor
    traces: list[list[Iteration]]

    @property
    def deletion(self) -> torch.Tensor:
        """(B, mask_px, mask_px): that hides what the probability cannot do without."""
        return self.masks[:, 0]

    @property
    def insertion(self) -> torch.Tensor:
        """(B, mask_px, mask_px): that hides what suffices for it; the same one, of one mask."""
        return self.masks[:, -1]

    def slopes_of(self, part: Part) -> torch.Tensor:
        """(B, mask_px, mask_px): of one of the masks, or of their product."""
        if part == "product":
            return self.slopes.sum(1)
        return self.slopes[:, 0 if part == "deletion" else -1]

    @property
    def shown_share(self) -> torch.Tensor:
        """(B,) the share of each tile that the product shows by more than half.

        Of `extremal_perturbation` that is the area reached.
        """
        return torch.tensor([shown_share(mask) for mask in self.product])

    @property
    def product(self) -> torch.Tensor:
        """(B, mask_px, mask_px) what the map is made of."""
        return self.masks.prod(1)


def optimise_masks(
    model: Model,
    images: torch.Tensor | NDArray[np.generic],
    spec: SaliencySpec,
    compute: Compute | None = None,
    places: Sequence[Place] | None = None,
) -> OptimisedMasks:
    """Optimise the masks of images.

    Parameters
    ----------
    model, images, spec, compute
        As of `explain_tiles`; the spec's method is one that optimises masks.
    places
        What the noise of each image derives from; None: its number among the images.

    Raises
    ------
    SmoothsalError
        As `explain_tiles`; or if the method has no masks.
    """
    if not isinstance(METHODS[spec.method], MaskMethod):
        there = ", ".join(
            name for name, method in METHODS.items() if isinstance(method, MaskMethod)
        )
        raise SettingError(f"method = {spec.method!r} optimises no masks; choose one of {there}")
    tiles = checked_images(model, images)
    explainer = Explainer(model, [spec], compute or Compute(), scope="tiles")
    size = explainer.batch_size(max(tiles.shape[2:]))
    (walk,) = (walk for walk, members in explainer.walks.items() if 0 in members)
    places = places or [(n,) for n in range(len(tiles))]
    maps, masks, slopes, traces = [], [], [], []
    for start in range(0, len(tiles), size):
        part = explainer.entered(tiles[start : start + size])
        some = places[start : start + size]
        with explainer.device.numerics():
            walker = MaskWalker(Batch(explainer, explainer.network, part, some, None, 0), walk, [0])
            while walker.open_tiles:
                walker.advance()
            found = walker.maps[0]
            maps.append(found.result().float().cpu())
        masks += [o.masks.float().cpu() for o in found.optimisations]
        slopes += [o.slopes.float().cpu() for o in found.optimisations]
        traces += [o.trace for o in found.optimisations]
    return OptimisedMasks(torch.cat(maps), torch.stack(masks), torch.stack(slopes), traces)
