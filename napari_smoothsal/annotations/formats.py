"""Which format a file of annotations is in, and reading and writing it as a whole.

Files come from outside, so that their size is checked before they are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_smoothsal.annotations.annotation import Annotations
from napari_smoothsal.core.errors import AnnotationError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.registry import Registry


@dataclass(frozen=True)
class AnnotationFormat:
    """One format of files.

    Attributes
    ----------
    name, title
        Under which it is registered, and in words.
    endings
        Of its files' names, in small letters; the first one is the usual.
    most_bytes
        Larger files are refused.
    parsed
        From a file's content and its name (for messages) to what it marks.
    written
        The content of a file that marks this.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    most_bytes: int
    parsed: Callable[[bytes, str], Annotations]
    written: Callable[[Annotations], bytes]


FORMATS: Registry[AnnotationFormat] = Registry("format of annotations")


def format_of(path: str | os.PathLike[str]) -> AnnotationFormat:
    """The format that a file's name says.

    Raises
    ------
    AnnotationError
        If none has that ending.
    """
    name = Path(path).name
    for entry in FORMATS.values():
        if name.lower().endswith(entry.endings):
            return entry
    known = "; ".join(f"{', '.join(x.endings)}: {x.title}" for x in FORMATS.values())
    raise AnnotationError(f"{name}: no ending of a file of annotations; there are {known}")


def read_annotations(path: str | os.PathLike[str], format: str | None = None) -> Annotations:
    """Read what a file marks on a slide.

    Parameters
    ----------
    path
        GeoJSON as QuPath writes it, or XML of ASAP.
    format
        ``geojson`` or ``asap``; None: by the file's ending.

    Returns
    -------
    Annotations
        In level-0 px. Whatever the file says beside that is kept for `write_annotations`.

    Raises
    ------
    AnnotationError
        If the file is missing, too large, malformed, or holds geometries that are not known here.
    """
    path = Path(path)
    entry = FORMATS[format] if format is not None else format_of(path)
    try:
        size = path.stat().st_size
        if size > entry.most_bytes:
            raise AnnotationError(
                f"{path.name}: {size / 2**20:.0f} MiB of {entry.title} is more than the "
                f"{entry.most_bytes / 2**20:.0f} MiB that are read; export a part of it"
            )
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or "no reason given"
        raise AnnotationError(
            f"{path.name}: the file cannot be read ({why}); give the path of {entry.title}"
        ) from error
    return entry.parsed(content, path.name)


def write_annotations(
    path: str | os.PathLike[str], annotations: Annotations, format: str | None = None
) -> Path:
    """Write annotations; whoever reads the file meanwhile finds the old one or the new one.

    Parameters
    ----------
    path
        Of the file; one that is there is replaced.
    annotations
        What to write. What their own file said of them beside is written again, where it was of
        the same format.
    format
        As for `read_annotations`.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    AnnotationError
        If the format cannot say it (ASAP XML has no holes), or the file cannot be written.
    """
    path = Path(path)
    entry = FORMATS[format] if format is not None else format_of(path)
    content = entry.written(annotations)
    try:
        with replaced_at_once(path) as part:
            part.write_bytes(content)
    except OSError as error:
        why = error.strerror or "no reason given"
        raise AnnotationError(
            f"{path.name}: the file cannot be written ({why}); choose another folder"
        ) from error
    return path
