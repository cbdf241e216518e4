"""zarr as this room uses it: nodes of a known kind, attributes as plain values.

zarr types every lookup as "array or group" and every attribute as any JSON; here the kind is
checked once, where a node is looked up.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
import zarr

from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs.layout import PENDING
from napari_smoothsal.runs.places import Place, on_url
from napari_smoothsal.runs.remote_store import RemoteStore


def open_root(path: Place, mode: Literal["r", "r+"]) -> zarr.Group:
    """Open a store; consolidated metadata would show the past of a growing one."""
    store = RemoteStore.at(path, read_only=mode == "r") if on_url(path) else path
    return zarr.open_group(store, mode=mode, use_consolidated=False)


def open_array(path: Place, name: str) -> zarr.Array[Any]:
    """Open one array of a store for reading, whatever else is in the store."""
    if on_url(path):
        return zarr.open_array(RemoteStore.at(path, read_only=True), path=name, mode="r")
    return zarr.open_array(path / name, mode="r")


def array_at(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """The array at a path; StoreError if there is none."""
    return _node(group, path, zarr.Array)


def group_at(group: zarr.Group, path: str) -> zarr.Group:
    """The group at a path; StoreError if there is none."""
    return _node(group, path, zarr.Group)


NodeT = TypeVar("NodeT")


def _node(group: zarr.Group, path: str, kind: type[NodeT]) -> NodeT:
    node = group.get(path)
    if not isinstance(node, kind):
        raise StoreError(
            f"the store is damaged: {kind.__name__.lower()} {path!r} is missing in it; "
            "`smoothsal doctor` says what can be repaired"
        )
    return node


def unknown_value(name: str, dtype: np.dtype[Any]) -> float:
    """What a column of the tiles' table holds where nothing is known: never a result."""
    if name == "status":
        return PENDING
    return np.nan if dtype.kind == "f" else -1


def wholly_kept(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The same array, of which every chunk is written, so that one that is gone is missed.

    zarr leaves chunks out that hold nothing but the fill value.
    """
    return array.with_config({"write_empty_chunks": True})


def attributes_of(group: zarr.Group) -> dict[str, Any]:
    """A group's attributes."""
    return dict(group.attrs)
