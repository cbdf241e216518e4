"""Where on the slide there is tissue: the mask, its share of any box, and where it comes from."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.annotation import mask_from_geojson, mask_from_image
from napari_smoothsal.slides.base import Box, Slide
from napari_smoothsal.slides.staining import stained

MASK_UM = 8.0
"""Micrometres per mask px: a tile of 224 px at 0.5 um is 14 of them."""

MASK_PX = 2048
"""Longest side of a mask, where the slide is large or its resolution unknown."""

GEOJSON_SUFFIXES = (".geojson", ".json")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class TissueMask:
    """A mask stretched over the slide.

    Attributes
    ----------
    mask
        (h, w) bool.
    downsample
        (y, x) level-0 px per mask px.
    source
        ``"otsu saturation"``, ``"geojson"``, ``"image"`` or ``"all"``.
    unreadable
        (h, w) bool: part of the mask that is there because nobody could read it; None where all
        could be read, or nothing was.
    """

    mask: NDArray[np.bool_]
    downsample: tuple[float, float]
    source: str
    unreadable: NDArray[np.bool_] | None = None

    @property
    def area(self) -> float:
        """Area of the tissue, in square level-0 px."""
        return float(self.mask.sum()) * self.downsample[0] * self.downsample[1]

    @property
    def share(self) -> float:
        """Share of the slide that is tissue, 0..1."""
        return float(self.mask.mean())

    @property
    def unreadable_share(self) -> float:
        """Share of the slide that could not be read, 0..1; it is part of `share`."""
        return 0.0 if self.unreadable is None else float(self.unreadable.mean())

    def unreadable_words(self) -> str:
        """How much of the slide could not be read, and where; empty where all could."""
        if self.unreadable is None:
            return ""
        spans = []
        for name, along, down in zip("xy", (0, 1), reversed(self.downsample), strict=True):
            there = np.flatnonzero(self.unreadable.any(axis=along))
            spans.append(f"{name} {there[0] * down:.0f} to {(there[-1] + 1) * down:.0f}")
        where = f"within {' and '.join(spans)} level-0 px"
        return f"{100 * self.unreadable_share:.2g} % of the slide cannot be read ({where})"

    def fraction(self, box: Box) -> float:
        """Return the share of `box` that is tissue; what lies outside the slide is none."""
        return float(self.fractions(box.x, box.y, box.w, box.h)[()])

    def fractions(
        self,
        x: NDArray[np.float64] | float,
        y: NDArray[np.float64] | float,
        w: NDArray[np.float64] | float,
        h: NDArray[np.float64] | float,
    ) -> NDArray[np.float64]:
        """Return the share of tissue of many boxes, given in level-0 px, at once.

        The integral image, interpolated linearly, gives the exact share also where a box
        cuts mask pixels. Arguments broadcast; so does the result.
        """
        down_y, down_x = self.downsample
        left, top = np.divide(x, down_x), np.divide(y, down_y)
        right, bottom = np.add(x, w) / down_x, np.add(y, h) / down_y
        # Made anew each time: kept, it would be the largest part of what a run holds of its plan.
        table = _integral(self.mask)
        tissue = (
            _sum_to(table, right, bottom)
            - _sum_to(table, left, bottom)
            - _sum_to(table, right, top)
            + _sum_to(table, left, top)
        )
        share = tissue / ((right - left) * (bottom - top))
        return np.asarray(np.clip(share, 0.0, 1.0), dtype=np.float64)


def _integral(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(h + 1, w + 1) sums of all that lies above and to the left; masks have 2**24 px at most."""
    h, w = mask.shape
    integral = np.zeros((h + 1, w + 1), np.int32)
    np.cumsum(mask, axis=0, dtype=np.int32, out=integral[1:, 1:])
    return np.cumsum(integral, axis=1, dtype=np.int32, out=integral)


def _sum_to(
    table: NDArray[np.int32], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    h, w = table.shape[0] - 1, table.shape[1] - 1
    u, v = np.clip(u, 0, w), np.clip(v, 0, h)
    i = np.minimum(v.astype(np.int64), h - 1)
    j = np.minimum(u.astype(np.int64), w - 1)
    a, b = v - i, u - j
    upper = table[i, j] * (1 - b) + table[i, j + 1] * b
    lower = table[i + 1, j] * (1 - b) + table[i + 1, j + 1] * b
    return np.asarray(upper * (1 - a) + lower * a)


_LOOKING = threading.Lock()
"""A run plans its tiles and looks at its stain at once: one of them waits for the other."""
_BY_COLOUR: WeakKeyDictionary[Slide, TissueMask] = WeakKeyDictionary()
"""Kept as surveys are: each view of a slide asks anew, and looking takes a tenth of a second."""


def find_tissue(slide: Slide, tissue: str = "auto") -> TissueMask:
    """Find out where there is tissue.

    Parameters
    ----------
    slide
        An open slide.
    tissue
        ``"auto"``: by colour, on a thumbnail. ``"all"``: the whole scanned area. Otherwise
        the path of a GeoJSON file with polygons in level-0 px, or of a PNG or TIFF image
        that covers the whole slide and is not 0 on tissue.

    Returns
    -------
    TissueMask
        Empty where there is only glass.

    Raises
    ------
    SlideError
        Where the file is missing, malformed, too large, or lies outside the slide.
    """
    if tissue == "auto":
        with _LOOKING:
            if slide not in _BY_COLOUR:
                _BY_COLOUR[slide] = _by_colour(slide)
            return _BY_COLOUR[slide]
    if tissue == "all":
        found, source = np.ones(_mask_shape(slide), np.bool_), "all"
    else:
        found, source = _from_file(slide, Path(tissue))
    return _mask(slide, found, source)


def _by_colour(slide: Slide) -> TissueMask:
    thumbnail, damaged = slide.survey(_mask_px(slide))
    um_px = (
        None if slide.mpp is None else max(_downsample(slide, thumbnail.shape[:2])) * max(slide.mpp)
    )
    # What cannot be read may be tissue: its tiles are tried, and listed as failed.
    mask = _mask(slide, stained(thumbnail, um_px) | damaged, "otsu saturation")
    return replace(mask, unreadable=damaged & mask.mask) if (damaged & mask.mask).any() else mask


def _mask(slide: Slide, found: NDArray[np.bool_], source: str) -> TissueMask:
    downsample = _downsample(slide, found.shape)
    return TissueMask(found & _scanned(slide, found.shape), downsample, source)


def _from_file(slide: Slide, path: Path) -> tuple[NDArray[np.bool_], str]:
    if not path.is_file():
        raise SlideError(
            f"tissue = {path.name!r}: there is no such file; give 'auto', 'all', or the path of "
            "a GeoJSON file or a mask image"
        )
    suffix = path.suffix.lower()
    if suffix in GEOJSON_SUFFIXES:
        shape = _mask_shape(slide)
        return mask_from_geojson(path, shape, (slide.width, slide.height)), "geojson"
    if suffix in IMAGE_SUFFIXES:
        return mask_from_image(path), "image"
    raise SlideError(
        f"tissue = {path.name!r}: neither GeoJSON ({', '.join(GEOJSON_SUFFIXES)}) nor a mask "
        f"image ({', '.join(IMAGE_SUFFIXES)})"
    )


def _mask_px(slide: Slide) -> int:
    longest = max(slide.width, slide.height)
    if slide.mpp is None:
        return min(longest, MASK_PX)
    # A small slide keeps at least 512 px, so that its shapes survive.
    wanted = max(round(longest * max(slide.mpp) / MASK_UM), 512)
    return min(longest, wanted, MASK_PX)


def _mask_shape(slide: Slide) -> tuple[int, int]:
    shrink = max(slide.width, slide.height) / _mask_px(slide)
    return max(1, round(slide.height / shrink)), max(1, round(slide.width / shrink))


def _downsample(slide: Slide, shape: tuple[int, ...]) -> tuple[float, float]:
    return slide.height / shape[0], slide.width / shape[1]


def _scanned(slide: Slide, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    # Nothing was recorded outside the bounds, whatever a mask says.
    down_y, down_x = _downsample(slide, shape)
    x, y, w, h = slide.bounds
    middle_y = (np.arange(shape[0]) + 0.5) * down_y
    middle_x = (np.arange(shape[1]) + 0.5) * down_x
    rows = (middle_y >= y) & (middle_y <= y + h)
    columns = (middle_x >= x) & (middle_x <= x + w)
    return np.asarray(rows[:, None] & columns[None, :])
