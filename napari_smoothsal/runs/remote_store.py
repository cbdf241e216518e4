"""RemoteStore: what DurableStore is in a folder, on a URL.

What was put lies on the server's disks once that has answered, so that nothing has to be settled.
Requests that fail are made again by the library of the URL.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore

from napari_smoothsal.runs.durable_store import DurableStore
from napari_smoothsal.runs.lease import lease_of
from napari_smoothsal.runs.places import Place, asked, on_url

if TYPE_CHECKING:
    from upath import UPath


class RemoteStore(FsspecStore):
    """zarr's store behind a URL; it writes only as long as this process's lease of it lasts.

    Attributes
    ----------
    place
        Its URL.
    scratch
        None: what does not fit into memory goes where the system has its temporary files.
    """

    place: UPath
    scratch: None = None

    @classmethod
    def at(cls, place: UPath, *, read_only: bool = False) -> RemoteStore:
        """The store behind a URL, which need not be there yet."""
        with asked(place):
            fs = _asynchronous(place.fs)
        made = cls(fs, read_only=read_only, path=place.path.rstrip("/"))
        made.place = place
        return made

    def with_read_only(self, read_only: bool = False) -> RemoteStore:
        """The same store, read-only or not."""
        made = type(self)(self.fs, read_only, self.path, self.allowed_exceptions)
        made.place = self.place
        return made

    def settle(self) -> None:
        """Nothing: what was put lies there; but the lease must have lasted until then.

        Raises
        ------
        StoreError
            If another process has taken the store over.
        """
        if (lease := lease_of(self.place)) is not None:
            lease.check()

    async def get(
        self,
        key: str,
        prototype: BufferPrototype,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read one chunk or one node's metadata."""
        with asked(self.place):
            found: Buffer | None = await super().get(key, prototype, byte_range)
            return found

    async def set(self, key: str, value: Buffer, byte_range: Any = None) -> None:
        """Write one chunk or one node's metadata."""
        await self._check_lease()
        with asked(self.place):
            await super().set(key, value, byte_range)

    async def delete(self, key: str) -> None:
        """Remove one chunk: where all of its values are the array's fill value."""
        self._check_writable()
        await self._check_lease()
        with asked(self.place), suppress(FileNotFoundError):
            # One request, where `_rm` lists first what it may mean.
            await self.fs._rm_file(f"{self.path}/{key}")

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        with asked(self.place):
            found: bool = await super().exists(key)
            return found

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names in a folder."""
        with asked(self.place):
            async for name in super().list_dir(prefix):
                yield name

    async def _check_lease(self) -> None:
        lease = lease_of(self.place)
        if lease is not None and lease.in_doubt:
            await asyncio.to_thread(lease.check)


_TWINS: dict[tuple[int, int], tuple[Any, Any]] = {}
"""By process and identity: those of one URL are equal, whatever server they were made for."""


def _asynchronous(fs: Any) -> Any:
    """The same file system for zarr's event loop: one for all threads, as each has a client."""
    known = os.getpid(), id(fs)
    if known not in _TWINS:
        if fs.async_impl:
            options = {**fs.storage_options, "asynchronous": True, "skip_instance_cache": True}
            twin = type(fs)(*fs.storage_args, **options)
        else:
            from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

            twin = AsyncFileSystemWrapper(fs, asynchronous=True)
        _TWINS[known] = fs, twin  # both, so that the number stays this one's
    return _TWINS[known][1]


KeptStore: TypeAlias = DurableStore | RemoteStore
"""Keeps what was written when it is told so."""


def store_at(place: Place, *, read_only: bool = False) -> KeptStore:
    """The store in a folder or behind a URL, for reading and writing."""
    if on_url(place):
        return RemoteStore.at(place, read_only=read_only)
    return DurableStore(place, read_only=read_only)
