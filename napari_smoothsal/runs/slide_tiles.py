"""SlideTiles: the tiles with tissue of some slides, to draw from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import torch

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import plan_tiles
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.turning import turned

_BLOCK_TILES = 4
"""Side of a block, 450 um for tiles of 224 px at 0.5 um: a stretch of tissue of one kind."""


class SlideTiles:
    """Tiles of the model's size and resolution that lie on tissue.

    Parameters
    ----------
    slides
        Open; they stay open.
    model
        Gives size and resolution.
    tiling
        Tissue, and how much of it a tile needs.

    Raises
    ------
    SmoothsalError
        If a slide does not fit the model, or none has tissue.
    """

    def __init__(self, slides: Sequence[Slide], model: Model, tiling: Tiling) -> None:
        # Side by side: tiles that share pixels would be held out and trained on at once.
        apart = tiling.model_copy(update={"halo": 0, "overlap": 0.0})
        plans = [plan_tiles(slide, model, apart) for slide in slides]
        self._boxes = [
            (slide, plan.grid.box(index))
            for slide, plan in zip(slides, plans, strict=True)
            for index in range(len(plan))
        ]
        blocks: dict[tuple[int, ...], int] = {}
        self._groups = [
            blocks.setdefault((number, *place), len(blocks))
            for number, plan in enumerate(plans)
            for place in (plan.grid.origins // (_BLOCK_TILES * plan.grid.tile_px)).tolist()
        ]
        if not self._boxes:
            raise SettingError("no tissue was found, so there are no tiles to train on")
        self._side = plans[0].grid.tile_px
        self._resampling = plans[0].resampling
        digest = hashlib.sha256(str(self._side).encode())
        if self._resampling != "area":
            digest.update(self._resampling.encode())
        for slide, plan in zip(slides, plans, strict=True):
            digest.update(slide.fingerprint.encode() + plan.grid.origins.tobytes())
        self._fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._boxes)

    @property
    def fingerprint(self) -> str:
        """Of the slides and of where the tiles lie."""
        return self._fingerprint

    @property
    def groups(self) -> list[int]:
        """Block of its slide that each tile lies in: neighbours show the same tissue."""
        return self._groups

    def draw(self, indices: Sequence[int], chance: random.Random | None) -> torch.Tensor:
        """(n, 3, side, side) uint8, turned by chance."""
        tiles = []
        for index in indices:
            slide, box = self._boxes[index]
            pixels = torch.from_numpy(
                slide.read_box(box, (self._side, self._side), self._resampling)
            )
            tiles.append(turned(pixels.permute(2, 0, 1), chance))
        return torch.stack(tiles)
