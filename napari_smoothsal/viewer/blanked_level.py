"""Levels of a calibrated map, blank where there is nothing to see, as long as that is wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.runs import open_run
from napari_smoothsal.runs.above_null import AboveNull, above_null


class StoredNull:
    """The limits of a map in a store that may still grow.

    Parameters
    ----------
    store, key
        Folder of the store, and name of the map.
    used
        Whether levels are blank below them.
    """

    def __init__(self, store: str, key: str, used: bool) -> None:
        self._store, self._key = store, key
        self.used = used
        self.reload()

    def reload(self) -> None:
        """Look which tiles pass now."""
        run = open_run(self._store)
        self.limits: AboveNull | None = above_null(run, run.maps[self._key])


class BlankedLevel:
    """One level (h, w).

    Parameters
    ----------
    values
        A zarr array, or one in memory.
    null
        The limits.
    level
        Its number; 0 is the finest.
    """

    ndim = 2

    def __init__(self, values: Any, null: StoredNull, level: int) -> None:
        self._values, self._null, self._level = values, null, level
        self.shape: tuple[int, int] = values.shape
        self.dtype = np.dtype(values.dtype)
        self.chunks: tuple[int, int] = getattr(values, "chunks", values.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, key: Any) -> Any:
        values = np.asarray(self._values[key])
        if self._null.limits is None or not self._null.used or not values.size:
            return values
        given = key if isinstance(key, tuple) else (key,)
        rows, columns = [k for k in (*given, slice(None), slice(None)) if k is not Ellipsis][:2]
        y, x = self._null.limits.centres(self.shape, self._level)
        y, x = np.atleast_1d(y[rows]), np.atleast_1d(x[columns])
        block = values.reshape(len(y), len(x))
        return self._null.limits.blanked(block, y, x).reshape(values.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)
