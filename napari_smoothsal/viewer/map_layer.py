"""The layer of a map: diverging, transparent at zero and where nothing was computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.render.colours import STOPS
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.slide_source import METADATA

OPACITY = 0.75
"""Nuclei stay visible under the strongest colours."""


def diverging_colormap() -> Any:
    """The palette of ``render.colours`` as a napari colormap; NaN is transparent."""
    from napari.utils import Colormap

    return Colormap(
        colors=[colour for _, colour in STOPS],
        controls=[place for place, _ in STOPS],
        nan_color=(0.0, 0.0, 0.0, 0.0),
        name="saliency",
    )


class MapPixels:
    """Pixels of a stored map as napari wants them while the store still grows.

    napari keeps the coarsest level of a multiscale layer for good. So that level is an array in
    memory, which `reload` refreshes in place; finer levels are read from the store when they
    are looked at.

    Parameters
    ----------
    picture
        The map.
    whole
        Only the finest level, all of it in memory: for the map of a view.
    """

    def __init__(self, picture: MapPicture, *, whole: bool = False) -> None:
        import zarr

        paths = picture.paths[:1] if whole else picture.paths
        self._arrays = [
            zarr.open_array(str(Path(picture.store) / path), mode="r") for path in paths
        ]
        self._crop = picture.shape if whole or len(paths) == 1 else None
        self._coarsest = self._read()

    @property
    def data(self) -> Any:
        """A list of levels, or one array where there is one level."""
        return [*self._arrays[:-1], self._coarsest] if self.multiscale else self._coarsest

    @property
    def multiscale(self) -> bool:
        """Whether `data` is a list."""
        return len(self._arrays) > 1

    def reload(self) -> None:
        """Read the coarsest level again, into the array that napari holds."""
        self._coarsest[...] = self._read()

    def _read(self) -> NDArray[np.float32]:
        values = np.array(self._arrays[-1][:], dtype=np.float32)
        return values if self._crop is None else values[: self._crop[0], : self._crop[1]].copy()


def map_layer_options(picture: MapPicture, name: str, multiscale: bool) -> dict[str, Any]:
    """Options of the layer except its placement."""
    return {
        "name": name,
        "rgb": False,
        "multiscale": multiscale,
        "colormap": diverging_colormap(),
        "contrast_limits": (-picture.limit, picture.limit),
        "blending": "translucent",
        "opacity": OPACITY,
        "interpolation2d": "nearest",
        "metadata": {
            METADATA: {"map": picture.key, "legend": picture.legend, "limit": picture.limit}
        },
    }
