"""Contour lines of a map: a labels layer of bands between thirds of the limit, outlines only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from napari_smoothsal.render.colours import palette_named
from napari_smoothsal.viewer.slide_source import METADATA

THIRDS = np.array([1 / 3, 2 / 3, 1.0])
BANDS = len(THIRDS)
SIGMA = 1.5
"""Layer px over which a map is smoothed before it is cut into bands: noise has no outline."""
REACH = 6
"""Pixels beyond which that smoothing is not felt."""
ENLARGED = 4


class BandedLevel:
    """One level of a map, enlarged, as bands: 1, 2, 3 above zero, 4, 5, 6 below; else 0.

    Parameters
    ----------
    values
        (h, w), anything that is sliced like an array.
    limit
        Magnitude of full colour.
    enlarged
        By how much, so that lines are thin and turn smoothly.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(self, values: Any, limit: float, enlarged: int) -> None:
        self._values = values
        self._limit = limit
        self._by = enlarged
        self.shape: tuple[int, int] = (values.shape[0] * enlarged, values.shape[1] * enlarged)
        chunks = getattr(values, "chunks", values.shape)
        self.chunks: tuple[int, int] = (chunks[0] * enlarged, chunks[1] * enlarged)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, key: Any) -> Any:
        given = key if isinstance(key, tuple) else (key,)
        slices = [k for k in (*given, slice(None), slice(None)) if k is not Ellipsis][:2]
        read, kept = [], []
        for part, size in zip(slices, self._values.shape, strict=True):
            start, stop, step = part.indices(size * self._by)
            low = max(0, start // self._by - REACH)
            read.append(slice(low, min(size, -(-stop // self._by) + REACH)))
            kept.append(slice(start - low * self._by, stop - low * self._by, step))
        return bands(np.asarray(self._values[tuple(read)]), self._limit, self._by)[tuple(kept)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def bands(values: NDArray[np.floating], limit: float, enlarged: int = 1) -> NDArray[np.uint8]:
    """Bands of a map (h, w), smoothed over what was computed of it, and enlarged."""
    known = np.isfinite(values)
    weight = gaussian_filter(known.astype(np.float32), SIGMA, truncate=REACH / SIGMA)
    total = gaussian_filter(np.where(known, values, 0), SIGMA, truncate=REACH / SIGMA)
    smooth = np.divide(total, weight, out=np.zeros_like(total), where=known)
    if enlarged > 1:
        smooth = zoom(smooth, enlarged, order=1, mode="nearest", grid_mode=True)
    above = np.digitize(smooth, THIRDS * limit)
    below = np.digitize(-smooth, THIRDS * limit)
    return np.asarray(np.where(below > 0, below + BANDS, above), dtype=np.uint8)


def banded_levels(levels: list[Any], limit: float) -> list[Any]:
    """Bands of a map's levels, each half the one before; the last one, in memory, is not enlarged.

    napari keeps the coarsest level for good, so it has to be small.
    """
    finer = [BandedLevel(level, limit, ENLARGED) for level in levels]
    by = ENLARGED
    while by > 2:
        by //= 2
        finer.append(BandedLevel(levels[-1], limit, by))
    return [*finer, bands(np.asarray(levels[-1]), limit)]


class ContourLines:
    """The lines of one map layer, kept like it.

    Parameters
    ----------
    viewer, map_layer
        Where, and of which map.
    """

    def __init__(self, viewer: Any, map_layer: Any) -> None:
        self._viewer = viewer
        self._map = map_layer
        self._layer: Any = None
        self._shown: Any = None
        map_layer.events.visible.connect(self._follow)

    def update(self) -> None:
        """Draw the lines of what the map holds now."""
        own = self._map.metadata[METADATA]
        limit, data = float(self._map.contrast_limits[1]), self._map.data
        drawn = banded_levels(list(data) if self._map.multiscale else [data], limit)
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._added(drawn, own)
            self._follow()
        else:
            self._layer.data = drawn
            for name, value in self._place().items():
                setattr(self._layer, name, value)

    def remove(self) -> None:
        """Take them away."""
        self._map.events.visible.disconnect(self._follow)
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _added(self, drawn: list[Any], own: dict[str, Any]) -> Any:
        from napari.utils.colormaps import DirectLabelColormap

        palette = palette_named(own["palette"])
        pairs = (
            (palette.supports, palette.supports_fully),
            (palette.against, palette.against_fully),
        )
        colours: dict[int | None, Any] = {0: (0, 0, 0, 0), None: (0, 0, 0, 0)}
        for first, (half, full) in zip((1, 1 + BANDS), pairs, strict=True):
            for band, colour in enumerate((half, full, full)):
                colours[first + band] = (*colour, 1.0)
        active = self._viewer.layers.selection.active
        layer = self._viewer.add_labels(
            drawn,
            name=f"lines of {own['title']}",
            multiscale=True,
            colormap=DirectLabelColormap(color_dict=colours),
            opacity=1.0,
            metadata={METADATA: {"beside a map": True}},
            **self._place(),
        )
        layer.contour, layer.editable = 1, False
        # The controls stay those of the map.
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        return layer

    def _place(self) -> dict[str, Any]:
        placed = {name: getattr(self._map, name) for name in ("rotate", "shear", "units")}
        # Edges stay where they are: the first of the smaller pixels lies before the first centre.
        first = self._map.data_to_world((0.5 / ENLARGED - 0.5,) * 2)
        return placed | {
            "scale": tuple(size / ENLARGED for size in self._map.scale),
            "translate": tuple(self._map.affine.inverse(np.array(first))),
            "affine": self._map.affine.affine_matrix,
        }

    def _follow(self, _event: Any = None) -> None:
        if self._layer is not None:
            self._layer.visible = self._map.visible
