"""What is said where a disk refuses a store before anything of it is there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoothsal.core.errors import StoreError

if TYPE_CHECKING:
    from napari_smoothsal.runs.places import Place

_ROOM = "make room there, or choose another folder by --out"
_LEAVE = "choose a folder by --out that you may write into"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _LEAVE,
    errno.EACCES: _LEAVE,
    errno.EPERM: _LEAVE,
}


def unwritable(error: Exception, store: Place) -> StoreError | None:
    """The error of a store that cannot be begun, in words that name its folder and the remedy.

    Parameters
    ----------
    error
        Whatever was raised.
    store
        That was to be written: locks and drafts lie beside it, which nobody knows of.

    Returns
    -------
    StoreError or None
        None where the error is none of a disk that refuses to be written, or is of another place,
        or the store's is a URL: what is wrong there is told where it is met.
    """
    if (
        not isinstance(store, Path)
        or not isinstance(error, OSError)
        or error.errno not in _REMEDIES
    ):
        return None
    folder = store.absolute().parent
    if error.filename is not None:
        # Of a folder that could not be made, the error names the first that is missing.
        at = Path(str(error.filename)).absolute()
        if not (at.is_relative_to(folder) or folder.is_relative_to(at)):
            return None
    return StoreError(
        f"{error.strerror}: {store.name!r} cannot be written into the folder "
        f"{folder.name or str(folder)!r}; {_REMEDIES[error.errno]}"
    )
