"""The arrays of a stored image, as a napari layer takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs.places import place_of
from napari_smoothsal.viewer.blanked_level import BlankedLevel, StoredNull
from napari_smoothsal.viewer.map_picture import MapPicture, StoredPicture


class StoredPixels:
    """Pixels of a stored image as napari wants them while the store still grows.

    napari keeps the coarsest level of a multiscale layer for good. So that level is an array in
    memory, which `reload` refreshes in place; finer levels are read from the store when they
    are looked at. Of a map with limits that are useful, all of them are blank below.

    Parameters
    ----------
    picture
        The image.
    whole
        Only the finest level, all of it in memory: for the map of a view.
    """

    def __init__(self, picture: StoredPicture, *, whole: bool = False) -> None:
        from napari_smoothsal.runs.zarr_io import open_array

        store = place_of(picture.store)
        paths = picture.paths[:1] if whole else picture.paths
        self._arrays = [open_array(store, path) for path in paths]
        self._store = picture.store
        self._crop = picture.shape if whole or len(paths) == 1 else None
        self._null = None
        if isinstance(picture, MapPicture) and picture.calibration is not None:
            self._null = StoredNull(picture.store, picture.key, picture.calibration.useful)
        self._whole = self._read()
        self._coarsest = self._shown()

    @property
    def store(self) -> str:
        """Where the store is that they are in."""
        return self._store

    @property
    def blanked(self) -> bool:
        """Whether only what exceeds a map's limits is there."""
        return self._null is not None and self._null.used

    @property
    def whole(self) -> NDArray[np.generic]:
        """The coarsest level as it is stored, whatever of it is blank."""
        return self._whole

    def blank(self, used: bool) -> None:
        """Have only that there, or all."""
        if self._null is not None:
            self._null.used = used
            self._coarsest[...] = self._shown()

    @property
    def data(self) -> Any:
        """A list of levels, or one array where there is one level."""
        if not self.multiscale:
            return self._coarsest
        finer: list[Any] = self._arrays[:-1]
        if self._null is not None:
            finer = [BlankedLevel(array, self._null, k) for k, array in enumerate(finer)]
        return [*finer, self._coarsest]

    @property
    def multiscale(self) -> bool:
        """Whether `data` is a list."""
        return len(self._arrays) > 1

    def shows(self, picture: StoredPicture) -> bool:
        """Whether a picture is of the same store."""
        return picture.store == self._store

    def reload(self) -> None:
        """Read the coarsest level again, into the array that napari holds."""
        if self._null is not None:
            self._null.reload()
        self._whole[...] = self._read()
        if self._null is not None:
            self._coarsest[...] = self._shown()

    def _read(self) -> NDArray[np.generic]:
        values = np.array(self._arrays[-1][:])
        return values if self._crop is None else values[: self._crop[0], : self._crop[1]].copy()

    def _shown(self) -> NDArray[np.generic]:
        """What was read, as napari is to draw it; the store of a view may be gone by now."""
        if self._null is None:
            return self._whole
        return np.array(BlankedLevel(self._whole, self._null, len(self._arrays) - 1)[:])
