"""``occlusion``: how far the score falls when a piece of the tile is covered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from napari_smoothsal.attribution.base import METHODS, MethodOptions, PerturbationMethod
from napari_smoothsal.attribution.fills import Covering, Fill, fill_field
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.attribution.pieces import Circles, Labelled, Pieces, Squares
from napari_smoothsal.attribution.segments import nuclei, superpixels
from napari_smoothsal.core.errors import SettingError

_NO_NUCLEI = (
    "pieces = 'nucleus': no nuclei were found in at least one tile, whose map is therefore zero; "
    "choose other pieces for tissue without nuclei, or another stain than haematoxylin"
)


class OcclusionOptions(MethodOptions):
    """What occlusion can be told."""

    pieces: Literal["square", "circle", "superpixel", "nucleus"] = Field(
        "square",
        description="What is covered at a time: a `square` or a `circle` on a grid, a "
        "`superpixel` (a compact region of like colour) or a `nucleus` found by its haematoxylin; "
        "what lies between nuclei is then never covered, and its map is zero.",
    )
    size_px: int = Field(
        32,
        ge=1,
        description="Side of a square, diameter of a circle, about the side of a superpixel, in "
        "px of the model.",
    )
    size_um: float = Field(
        0.0, ge=0, description="The same in micrometres; 0: size_px is what counts."
    )
    stride_px: int = Field(
        0,
        ge=0,
        description="From one square or circle to the next, in px of the model; 0: half the size.",
    )
    fill: Fill = fill_field(inpainted="the surroundings continue")


class Occlusion(Perturbation):
    """Covers the pieces one after the other; image number 0 is the tile as it is.

    Parameters
    ----------
    tile
        The tile.
    pieces
        Of the tile.
    fill
        What shows where it is covered.
    caveat
        What to tell the user where there are no pieces.
    """

    def __init__(self, tile: PerturbedTile, pieces: Pieces, fill: str, caveat: str = "") -> None:
        self.count = 1 + pieces.count
        self.caveat = caveat if not pieces.count else ""
        self._tile = tile
        self._pieces = pieces
        self._covering = Covering(tile, fill)
        wide = torch.promote_types(tile.image.dtype, torch.float32)
        self._score = torch.zeros(1)
        # How far the score fell where a pixel was covered, and how often it was.
        self._sums = tile.image.new_zeros(2, tile.image[0].numel(), dtype=wide)
        self._made: tuple[list[int], torch.Tensor] | None = None

    def images(self, which: Sequence[int]) -> torch.Tensor:
        return self._covering.images(len(which), self._covered(which))

    def add(self, which: Sequence[int], scores: torch.Tensor) -> None:
        scores = scores.to(self._sums)
        if which[0] == 0:
            self._score = scores[:1]
        covered, pixels = self._covered(which), self._sums.shape[1]
        fall = (self._score - scores)[covered // pixels]
        values = torch.stack([fall, torch.ones_like(fall)])
        self._sums.index_add_(1, covered % pixels, values)

    def result(self) -> torch.Tensor:
        fall, times = self._sums
        mean: torch.Tensor = fall / times.clamp_min(1)
        return mean.reshape(1, *self._tile.image.shape[1:])

    def _covered(self, which: Sequence[int]) -> torch.Tensor:
        # `add` mostly asks for those that `images` has just made.
        if self._made is None or self._made[0] != list(which):
            numbers = torch.tensor(which, device=self._tile.image.device) - 1
            self._made = list(which), self._pieces.pixels(numbers)
        return self._made[1]


def _size_and_stride(options: OcclusionOptions, mpp: float | None) -> tuple[int, int]:
    size = options.size_px
    if options.size_um:
        if mpp is None:
            raise SettingError(
                f"method 'occlusion': size_um = {options.size_um:g}: the model's card does not say "
                "how many micrometres a pixel is; give size_px, or set input_mpp"
            )
        size = max(round(options.size_um / mpp), 1)
    stride = options.stride_px or max(size // 2, 1)
    most = math.floor(size / math.sqrt(2)) if options.pieces == "circle" else size
    if stride > max(most, 1):
        raise SettingError(
            f"method 'occlusion': stride_px = {stride}: between {options.pieces}s of {size} px "
            f"some pixels would never be covered; choose {max(most, 1)} or less"
        )
    return size, stride


def _pieces(tile: PerturbedTile, options: OcclusionOptions) -> Pieces:
    height, width = tile.image.shape[1:]
    if options.pieces == "nucleus":
        if tile.mpp is None:
            raise SettingError(
                "method 'occlusion': pieces = 'nucleus': the model's card does not say how many "
                "micrometres a pixel is, so nothing can be told from a nucleus by its size; set "
                "input_mpp, or choose other pieces"
            )
        return Labelled(nuclei(tile.colours, tile.mpp) - 1)
    size, stride = _size_and_stride(options, tile.mpp)
    if options.pieces == "superpixel":
        return Labelled(superpixels(tile.colours, size))
    if size > min(height, width):
        raise SettingError(
            f"method 'occlusion': {options.pieces}s of {size} px do not fit into a tile of {width} "
            f"x {height} px; choose {min(height, width)} px or less"
        )
    kind = Squares if options.pieces == "square" else Circles
    return kind(height, width, size, stride)


def _occlusion(tile: PerturbedTile, options: OcclusionOptions) -> Occlusion:
    return Occlusion(tile, _pieces(tile, options), options.fill, _NO_NUCLEI)


def _idle(options: OcclusionOptions) -> set[str]:
    if options.pieces == "nucleus":
        return {"size_px", "size_um", "stride_px"}
    idle = {"stride_px"} if options.pieces == "superpixel" else set()
    return idle | ({"size_px"} if options.size_um else set())


OCCLUSION = METHODS.register(
    PerturbationMethod(
        name="occlusion",
        title="Occlusion: how far the score falls when a piece of the tile is covered",
        positive="supports",
        negative="speaks against",
        options=OcclusionOptions,
        idle=_idle,
        perturb=_occlusion,
    )
)
"""Of each pixel the mean, over the pieces that cover it, of the tile's score less that of the
tile with the piece covered (Zeiler and Fergus 2014)."""
