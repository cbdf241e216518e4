"""Is the map of a single tile on the right nuclei? For tiles of a slide whose nuclei are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
import torch

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.coverage import Placement, Zone, coverage
from napari_smoothsal.evaluation.followed_tile import Places
from napari_smoothsal.evaluation.localised_run import RIM_UM
from napari_smoothsal.evaluation.nuclei import Nuclei, nuclei_of
from napari_smoothsal.evaluation.ranking import auroc, ranked
from napari_smoothsal.slides import Box
from napari_smoothsal.slides.outlines import Outlines


class NucleiInTiles:
    """Known nuclei of tiles.

    Parameters
    ----------
    outlines
        Of the slide.
    boxes
        Of the tiles.
    mpp
        (y, x) micrometres per level-0 px.
    tile_px
        Side of a tile at the model's resolution.
    """

    def __init__(
        self, outlines: Outlines, boxes: Sequence[Box], mpp: tuple[float, float], tile_px: int
    ) -> None:
        self._outlines, self._boxes, self._mpp, self._tile_px = outlines, boxes, mpp, tile_px
        self._known: dict[str, Nuclei | None] = {}

    def auroc(self, index: int, outcome: str, reduced: torch.Tensor, places: Places) -> float:
        """How well a map (h, w) tells pixels on nuclei of an outcome's class from all others.

        NaN where the tile has no such nucleus, or nobody knows which nuclei they would be.
        """
        nuclei = self._of(outcome)
        if nuclei is None:
            return np.nan
        box = self._boxes[index]
        corner = (box.y * self._mpp[0], box.x * self._mpp[1])
        size = (box.h * self._mpp[0], box.w * self._mpp[1])
        px = (size[0] / self._tile_px, size[1] / self._tile_px)
        scale = (places.stride[0] * px[0], places.stride[1] * px[1])
        starts = [
            c + (middle + 0.5 - stride / 2) * p
            for c, middle, stride, p in zip(corner, places.centre, places.stride, px, strict=True)
        ]
        window = shapely.box(corner[1], corner[0], corner[1] + size[1], corner[0] + size[0])
        here = shapely.intersects(nuclei.shapes, window)
        near = Nuclei(
            nuclei.shapes[here], nuclei.of_class[here], nuclei.class_name, nuclei.other_names
        )
        if not near.of_class.any():
            return np.nan
        height, width = reduced.shape
        placement = Placement(scale, (starts[0], starts[1]), (height, width))
        covered = coverage(placement, np.ones((height, width), bool), near, RIM_UM)
        on_class = covered.zones[Zone.CLASS_INTERIOR] + covered.zones[Zone.CLASS_INNER_RIM]
        values = reduced.double().numpy().ravel()
        block = np.zeros(len(values), np.int64)
        items = ranked(values, on_class, 1 - on_class, block, 1)
        return float(auroc(items.positive, items.negative))

    def _of(self, outcome: str) -> Nuclei | None:
        if outcome not in self._known:
            try:
                self._known[outcome] = nuclei_of(self._outlines, outcome, self._mpp)
            except SettingError:  # no class of outlines stands for this outcome
                self._known[outcome] = None
        return self._known[outcome]
