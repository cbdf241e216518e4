"""Images of a store as they lie there: where their bands are, and whether their levels agree.

Coarser levels are made of finer ones, band by band. Whoever makes them again compares what nobody
could otherwise tell: a chunk that decodes to other values than were written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.layout import LABELS, NAMESPACE, PREDICTION
from napari_smoothsal.runs.pyramid import halved_extreme, halved_mean
from napari_smoothsal.runs.stitch import BLOCK_PX
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, group_at

Pair = tuple[float, float]
_HALF = 128
"""Of 255: from here on the single class of a pixel is the first one."""


@dataclass(frozen=True)
class StoredImage(ABC):
    """One image of a store that was stitched from tiles.

    Attributes
    ----------
    number
        Of its ``state/rows_<i>``.
    path
        Of its group.
    levels
        How many there are.
    shape, extent
        (h, w) of level 0 with its padding, and without.
    band
        Rows of level 0 that are written at once.
    scale_um, translate_um
        (y, x) of level 0, in micrometres; translate is the centre of pixel (0, 0).
    """

    number: int
    path: str
    levels: int
    shape: tuple[int, int]
    extent: tuple[int, int]
    band: int
    scale_um: Pair
    translate_um: Pair

    @property
    def bands(self) -> int:
        """How many there are."""
        return -(-self.shape[0] // self.band)

    def rows(self, band: int, level: int = 0) -> slice:
        """Rows of a level that a band fills."""
        stop = min((band + 1) * self.band, self.shape[0])
        return slice(band * self.band >> level, stop >> level)

    def columns(self, level: int = 0) -> Iterator[slice]:
        """Columns of a level, cut as the stitcher cuts its blocks, so that sums are the same."""
        width = max(BLOCK_PX // self.band, 1) * self.band
        for start in range(0, self.shape[1], width):
            yield slice(start >> level, min(start + width, self.shape[1]) >> level)

    def level_of(self, array: str) -> int | None:
        """Level of an array of the store; None where it is not one of this image."""
        found = (k for k in range(self.levels) if array in self.paths(k))
        return next(found, None)

    def bands_of_rows(self, start: int, stop: int, level: int) -> range:
        """Bands that fill rows ``start`` to ``stop`` of a level."""
        return range(
            min((start << level) // self.band, self.bands),
            min(-(-(stop << level) // self.band), self.bands),
        )

    def positions(self, level0_px: NDArray[np.float64], mpp: Pair) -> NDArray[np.float64]:
        """(N, 2): where positions (y, x) on the slide lie on level 0.

        Parameters
        ----------
        level0_px
            (N, 2) of the slide. Here as there, centres of pixels are whole numbers.
        mpp
            (y, x) of the slide.
        """
        um = level0_px * np.array(mpp) - np.array(self.translate_um)
        return np.asarray(um / np.array(self.scale_um), np.float64)

    @abstractmethod
    def paths(self, level: int) -> list[str]:
        """Arrays of a level."""

    @abstractmethod
    def known(self, root: zarr.Group, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,) whether pixels (y, x) of level 0, (N, 2), were computed."""

    @abstractmethod
    def agrees(self, root: zarr.Group, band: int) -> bool:
        """Whether what is stored twice of a band says the same both times."""


class StoredMap(StoredImage):
    """A saliency map: every coarser level follows from level 0, bit for bit."""

    def paths(self, level: int) -> list[str]:
        """Means, and the values of largest magnitude."""
        return [f"{self.path}/{level}", *([f"{self.path}/extreme/{level}"] if level else [])]

    def known(self, root: zarr.Group, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where there is a number."""
        values = array_at(root, f"{self.path}/0").vindex[places[:, 0], places[:, 1]]
        return np.asarray(~np.isnan(np.asarray(values)), np.bool_)

    def coarser(self, root: zarr.Group, band: int) -> Iterator[tuple[str, Any, NDArray[Any]]]:
        """Array, place and values of what follows from level 0 of a band."""
        for columns in self.columns():
            mean = extreme = np.asarray(
                array_at(root, f"{self.path}/0")[self.rows(band), columns], np.float32
            )
            for level in range(1, self.levels):
                mean, extreme = halved_mean(mean), halved_extreme(extreme)
                across = slice(columns.start >> level, columns.stop >> level)
                place = (self.rows(band, level), across)
                for path, values in zip(self.paths(level), (mean, extreme), strict=True):
                    yield path, place, values

    def agrees(self, root: zarr.Group, band: int) -> bool:
        """Whether the coarser levels are those that follow from level 0."""
        return all(
            np.array_equal(np.asarray(array_at(root, path)[place]), values, equal_nan=True)
            for path, place, values in self.coarser(root, band)
        )


class StoredClasses(StoredImage):
    """The dense prediction: probabilities in 8 bits and labels, which check each other."""

    def paths(self, level: int) -> list[str]:
        """Probabilities and labels."""
        return [f"{PREDICTION}/{level}", f"{LABELS}/{level}"]

    def known(self, root: zarr.Group, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where there is a label."""
        return np.asarray(array_at(root, f"{LABELS}/0").vindex[places[:, 0], places[:, 1]]) > 0

    def agrees(self, root: zarr.Group, band: int) -> bool:
        """Whether labels are of the highest probability, and levels the means of finer ones."""
        return all(self._strip_agrees(root, band, strip) for strip in self.columns())

    def _strip_agrees(self, root: zarr.Group, band: int, columns: slice) -> bool:
        finer: NDArray[np.float32] | None = None
        for level in range(self.levels):
            across = slice(columns.start >> level, columns.stop >> level)
            place = (self.rows(band, level), across)
            given = np.asarray(array_at(root, f"{PREDICTION}/{level}")[(slice(None), *place)])
            labels = np.asarray(array_at(root, f"{LABELS}/{level}")[place])
            if not _labelled(given, labels):
                return False
            here = np.where(labels > 0, given.astype(np.float32), np.nan)
            if finer is not None:
                mean = halved_mean(finer)
                same = np.isnan(mean) == np.isnan(here)
                # Either side is rounded to 8 bits once.
                if not (same & ~(np.abs(mean - here) > 1.01)).all():
                    return False
            finer = here
        return True


def _labelled(given: NDArray[np.uint8], labels: NDArray[np.integer]) -> bool:
    """Whether labels (h, w) are those of probabilities (classes, h, w) in 8 bits."""
    known = labels > 0
    if given[:, ~known].any() or int(labels.max(initial=0)) > max(len(given), 2):
        return False
    if len(given) == 1:
        return bool(((given[0] >= _HALF) == (labels == 1))[known].all())
    index = np.maximum(labels.astype(np.int64) - 1, 0)[None]
    chosen = np.take_along_axis(given, index, 0)[0]
    return bool((chosen == given.max(0))[known].all())


def stored_images(root: zarr.Group, map_keys: list[str]) -> list[StoredImage]:
    """The stitched images of a store, in the order of their ``state/rows_<i>``.

    Raises
    ------
    StoreError
        If one of them is not as it was laid out.
    """
    paths = [f"maps/{key}" for key in map_keys]
    images: list[StoredImage] = [
        _stored(root, StoredMap, number, path, f"{path}/0") for number, path in enumerate(paths)
    ]
    if PREDICTION in root:
        images.append(_stored(root, StoredClasses, len(paths), PREDICTION, f"{LABELS}/0"))
    for image in images:
        height, width = image.shape
        for level in range(image.levels):
            for path in image.paths(level):
                if array_at(root, path).shape[-2:] != (height >> level, width >> level):
                    raise StoreError(f"the store is damaged: array {path!r} has another size")
    return images


def _stored(
    root: zarr.Group, kind: type[StoredImage], number: int, path: str, finest: str
) -> StoredImage:
    attributes = attributes_of(group_at(root, path))
    multiscale = attributes["ome"]["multiscales"][0]
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    array = array_at(root, finest)
    height, width = array.shape
    band = int(array.chunks[0])
    (sy, sx), (ty, tx) = scale["scale"][-2:], translation["translation"][-2:]
    levels = len(multiscale["datasets"])
    h, w = attributes[NAMESPACE]["shape"]
    return kind(number, path, levels, (height, width), (h, w), band, (sy, sx), (ty, tx))
