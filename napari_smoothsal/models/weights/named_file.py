"""Files that a description names: where they may lie, and whether they are the ones it means."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_smoothsal.core.errors import ModelError


def inside(folder: Path, name: str, whose: str) -> Path:
    """A file that a description names, within the description's own folder.

    Only the name is judged. A link that lies in the folder may lead out of it: the caches of
    model hubs are made of such links, and whoever can put one there needs no description.

    Parameters
    ----------
    folder
        Where the description lies.
    name
        As the description has it, with ``/`` between folders.
    whose
        What is described, for the messages.

    Raises
    ------
    ModelError
        If the name is absolute, climbs, or means something else on another system (a drive, a
        backslash, a stream, a control character).
    """
    parts = name.split("/")
    if any(c in "\\:" or not c.isprintable() for c in name):
        why = "it holds a backslash, a colon or a control character"
    elif name.startswith("/"):
        why = "it is absolute"
    elif any(part in ("", ".", "..") for part in parts):
        why = "it climbs, or a part of it is empty"
    else:
        return folder.joinpath(*parts)
    raise ModelError(
        f"{whose}: the file name {name!r} cannot be used, {why}; put the file into the model's "
        "folder and name it by that"
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, which is never in memory as a whole."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
