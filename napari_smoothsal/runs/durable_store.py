"""DurableStore: a folder that holds what was written when it is told so, power cuts included.

Each chunk is written beside its place, settled, and renamed, so that a killed process leaves whole
chunks, and a power cut, too: of a file that was renamed before its content was settled, some file
systems keep the new name and nothing in it. A power cut may still undo any renaming, in any order:
what marks work as done must be written after the names of that work lie on the disk.
"""

from __future__ import annotations

import asyncio
import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

_SUFFIX = ".partial"
PARTIAL = f"*{_SUFFIX}"
"""zarr's name of what is being written."""


class DurableStore(LocalStore):
    """zarr's store in a folder, which remembers what names may not lie on the disk yet.

    It fails where another folder has taken this one's place: of a drive that was unmounted,
    only the folder is left that it was mounted on.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._unsettled: set[Path] = set()
        self._known: tuple[int, int] | None = None

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read one chunk or one node's metadata."""
        self._check_place()
        return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Write one chunk or one node's metadata."""
        self._check_writable()
        path = self.root / key
        self._check_place()
        if not path.parent.exists():
            self._unsettled |= {path.parent, *path.parent.parents} - {*self.root.parents}
        await asyncio.to_thread(_put, path, value)
        self._unsettled.add(path.parent)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write it where nothing is."""
        if not (self.root / key).exists():
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        """Remove one chunk: where all of its values are the array's fill value."""
        self._check_place()
        await super().delete(key)
        self._unsettled.add((self.root / key).parent)

    @property
    def place(self) -> Path:
        """Its folder."""
        return self.root

    @property
    def scratch(self) -> Path:
        """Where there is room for what does not fit into memory: beside it."""
        return self.root.parent

    def settle(self) -> None:
        """Wait until all names that were written lie on the disk."""
        folders = set(self._unsettled)
        for path in folders:
            settle(path)
        # Not before: what a disk refused to keep is not settled.
        self._unsettled -= folders

    def _check_place(self) -> None:
        try:
            found = self.root.stat()
        except FileNotFoundError:
            if self._known is None:
                return  # it is written into for the first time
            raise
        place = (found.st_dev, found.st_ino)
        if self._known not in (None, place):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), str(self.root))
        self._known = place


def _put(path: Path, value: Buffer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{uuid.uuid4().hex}{_SUFFIX}")
    try:
        part.write_bytes(value.as_buffer_like())
        settle(part)
        part.replace(path)
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)
        raise


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
