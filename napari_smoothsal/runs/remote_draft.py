"""How a store comes to be on a URL, where nothing can be laid out elsewhere and moved to its place.

A mark is put first, then all of the store but its root's metadata, then that. Whatever ends this in
between leaves what has a mark and no metadata, which is taken for no store, and swept by whoever
holds the place next. With both it is a store, and the mark goes when that is opened to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_smoothsal.runs.layout import DRAFT_MARK
from napari_smoothsal.runs.lease import lease_of
from napari_smoothsal.runs.places import asked, remove, write_whole

if TYPE_CHECKING:
    from upath import UPath

_ROOT = "zarr.json"


def put_laid_out(place: UPath, files: Mapping[str, bytes]) -> None:
    """Put a new store where nothing is, or what was begun; only for who holds it.

    Parameters
    ----------
    place
        Its URL, which `check_free_or_own` has found free.
    files
        All of it by their paths in the store.
    """
    write_whole(place / DRAFT_MARK, b"")
    with asked(place), suppress(FileNotFoundError):
        # The mark last: without it the rest would be somebody else's.
        for begun in place.fs.find(place.path):
            if not begun.endswith(f"/{DRAFT_MARK}"):
                place.fs.rm_file(begun)  # `rm` would take brackets in a name for a pattern
    rest = {f"{place.path}/{name}": content for name, content in files.items() if name != _ROOT}
    with asked(place):
        place.fs.pipe(rest)
    if (lease := lease_of(place)) is not None:
        lease.check()
    write_whole(place / _ROOT, files[_ROOT])


def sweep_draft(place: UPath) -> None:
    """Remove the mark of a store that has come to be; only for who holds it."""
    remove(place / DRAFT_MARK)
