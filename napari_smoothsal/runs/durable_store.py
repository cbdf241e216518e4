"""DurableStore: a folder that holds what was written when it is told so, power cuts included.

zarr writes each chunk beside its place and renames it, so that a killed process leaves whole
chunks. A power cut may still undo any of them, in any order: what marks work as done must be
written after that work lies on the disk.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

PARTIAL = "*.partial"
"""zarr's name of what is being written."""


class DurableStore(LocalStore):
    """zarr's store in a folder, which remembers what may not lie on the disk yet."""

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._unsettled: set[Path] = set()

    async def set(self, key: str, value: Buffer) -> None:
        """Write one chunk or one node's metadata."""
        await super().set(key, value)
        self._unsettled.add(self.root / key)

    async def delete(self, key: str) -> None:
        """Remove one chunk: where all of its values are the array's fill value."""
        await super().delete(key)
        self._unsettled.add(self.root / key)

    def settle(self) -> None:
        """Wait until all that was written lies on the disk, with the names it lies under."""
        files = set(self._unsettled)
        for path in [*files, *{file.parent for file in files}]:
            settle(path)
        # Not before: what a disk refused to keep is not settled.
        self._unsettled -= files


def settle(path: Path) -> None:
    """Wait until a file, or the names in a folder, lie on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folder; its renames are journaled
        return
    with suppress(FileNotFoundError):  # removed; its folder is settled
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(root: Path) -> int:
    """Remove what a killed process was writing; returns the number of files.

    Only for who holds the store: another process may be writing them.
    """
    litter = partial_files(root)
    for file in litter:
        file.unlink(missing_ok=True)
    return len(litter)


def partial_files(root: Path) -> list[Path]:
    """Files in a folder that a process was writing; a map's folder may have such a name, too."""
    return [file for file in root.rglob(PARTIAL) if file.is_file()]
