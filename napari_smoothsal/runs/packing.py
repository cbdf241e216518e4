"""Shards: the chunks of a complete store joined, so that a slide is hundreds of files, not tens of
thousands. What a reader gets is the same; drives on the network, copies and backups are faster.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.durable_store import DurableStore, settle
from napari_smoothsal.runs.layout import FINISHED, LABELS, PREDICTION, own_attributes
from napari_smoothsal.runs.places import Place, not_on_url, on_url

PACKING = "pack"
"""As messages call it."""
SHARD_CHUNKS = 8
"""Of a shard's side: 16 MB of floats, before compression."""

_NEW, _OLD = ".packed", ".unpacked"
"""Of an array that is being packed: until it is whole, and until the packed one has its place."""

_FOLDERS = ("maps/*", "maps/*/extreme", PREDICTION, LABELS)
"""Where arrays of images lie."""


def pack_store(path: Place) -> int:
    """Join the chunks of all images of a store into shards.

    May be interrupted at any moment, and called again: each array is as it was, or packed.

    Parameters
    ----------
    path
        Of a complete store, which the caller holds (`only_writer`).

    Returns
    -------
    int
        How many arrays were packed; those that are already, or have few chunks, are left.

    Raises
    ------
    StoreError
        If the store is not complete: a shard is written whole, a growing map is not.
    SettingError
        If it lies on a URL: an array gets its place by renaming.
    """
    if on_url(path):
        raise not_on_url(path, PACKING)
    own = own_attributes(path)
    if own is None or own["status"] not in FINISHED:
        raise StoreError(f"{path.name!r} is no complete store; chunks are joined at the end")
    restore(path)
    packed = 0
    for name in list(_images(zarr.open_group(path, mode="r", use_consolidated=False))):
        packed += _pack(path, name)
    return packed


def restore(path: Place) -> int:
    """Put arrays back where packing was interrupted; only for who holds the store.

    Returns
    -------
    int
        How many had lost their place: without them the store cannot be read.
    """
    if on_url(path):
        return 0  # where nothing is packed
    back = displaced(path)
    for old in back:
        old.rename(_place(old))
        settle(old.parent)
    remove_left_over(path)
    return len(back)


def displaced(path: Path) -> list[Path]:
    """Arrays that made room for packed ones, which did not get there."""
    return [old for old in _beside_images(path, _OLD) if not _place(old).exists()]


def left_over(path: Path) -> list[Path]:
    """What interrupted packing left that nobody needs: the array itself has its place."""
    replaced = [old for old in _beside_images(path, _OLD) if _place(old).exists()]
    return [*replaced, *_beside_images(path, _NEW)]


def remove_left_over(path: Path) -> None:
    """Remove it; only for who holds the store."""
    for folder in left_over(path):
        shutil.rmtree(folder)


def _place(old: Path) -> Path:
    return old.with_name(old.name.removesuffix(_OLD))


def _beside_images(path: Path, end: str) -> list[Path]:
    """Folders beside images' arrays whose names end so; a map's own name may, too."""
    found = (path.glob(f"{folder}/*{end}") for folder in _FOLDERS)
    return sorted(one for some in found for one in some if one.is_dir())


def _images(root: zarr.Group) -> Iterator[str]:
    for name, node in root.members(max_depth=None):
        if isinstance(node, zarr.Array) and name.startswith(("maps/", "prediction/")):
            yield name


def _pack(path: Path, name: str) -> bool:
    store = DurableStore(path)
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    source: Any = root[name]
    sizes = list(zip(source.shape, source.chunks, strict=True))
    if source.shards is not None or all(size <= chunk for size, chunk in sizes):
        return False
    shards = tuple(min(SHARD_CHUNKS, -(-size // chunk)) * chunk for size, chunk in sizes)
    target = root.create_array(
        name + _NEW,
        shape=source.shape,
        chunks=source.chunks,
        shards=shards,
        dtype=source.dtype,
        fill_value=source.fill_value,
        compressors=source.compressors,
        dimension_names=source.metadata.dimension_names,
        attributes=dict(source.attrs),
    )
    for place in _blocks(source.shape, shards):
        target[place] = source[place]
    store.settle()
    old, new = path / (name + _OLD), path / (name + _NEW)
    (path / name).rename(old)
    new.rename(path / name)
    settle(old.parent)
    shutil.rmtree(old)
    return True


def _blocks(shape: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    if not shape:
        yield ()
        return
    for start in range(0, shape[0], sizes[0]):
        for rest in _blocks(shape[1:], sizes[1:]):
            yield (slice(start, min(start + sizes[0], shape[0])), *rest)
