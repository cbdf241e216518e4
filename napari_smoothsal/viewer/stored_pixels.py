"""The arrays of a stored image, as a napari layer takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.viewer.map_picture import StoredPicture


class StoredPixels:
    """Pixels of a stored image as napari wants them while the store still grows.

    napari keeps the coarsest level of a multiscale layer for good. So that level is an array in
    memory, which `reload` refreshes in place; finer levels are read from the store when they
    are looked at.

    Parameters
    ----------
    picture
        The image.
    whole
        Only the finest level, all of it in memory: for the map of a view.
    """

    def __init__(self, picture: StoredPicture, *, whole: bool = False) -> None:
        import zarr

        paths = picture.paths[:1] if whole else picture.paths
        self._arrays = [
            zarr.open_array(str(Path(picture.store) / path), mode="r") for path in paths
        ]
        self._store = picture.store
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

    def shows(self, picture: StoredPicture) -> bool:
        """Whether a picture is of the same store."""
        return picture.store == self._store

    def reload(self) -> None:
        """Read the coarsest level again, into the array that napari holds."""
        self._coarsest[...] = self._read()

    def _read(self) -> NDArray[np.generic]:
        values = np.array(self._arrays[-1][:])
        return values if self._crop is None else values[: self._crop[0], : self._crop[1]].copy()
