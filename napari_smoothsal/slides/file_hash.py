"""SHA-256 of a slide's files: it finds damage that no decoder notices, and takes a full reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.dicom import series_files

CHUNK_BYTES = 2**22

Progress = Callable[[int, int], None]
"""Called with the bytes that were read and those that there are."""

FOLDER_SUFFIXES = {".mrxs"}
"""Formats whose pixels lie in a folder of the file's name."""

INDEX_SUFFIXES = {".vms", ".vmu"}
"""Formats whose file names others beside it."""

INDEX_BYTES = 2**20


def file_sha256(path: Path, progress: Progress | None = None) -> str:
    """Hash all files of a slide, as hexadecimal digits.

    Parameters
    ----------
    path
        The slide's file, or the folder of one DICOM slide. Of MIRAX the folder beside the file
        belongs to it, of Hamamatsu VMS and VMU the files that it names, of DICOM those of its
        series.
    progress
        Told how far it is; it may raise to stop.

    Returns
    -------
    str
        SHA-256 over the files' bytes, each after its length, sorted by name. Names are not part
        of it: a slide may be renamed. Of a single file it is the file's own SHA-256, as sha256sum
        prints it.

    Raises
    ------
    SlideError
        Where a file cannot be read.
    """
    try:
        files = files_of_slide(path)
        sizes = [file.stat().st_size for file in files]
        digest = hashlib.sha256()
        done, total = 0, sum(sizes)
        for file, size in zip(files, sizes, strict=True):
            if len(files) > 1:  # or bytes could move from one file to the next unseen
                digest.update(size.to_bytes(8, "little"))
            for chunk in _chunks(file):
                digest.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    except OSError as error:
        raise SlideError(
            f"{path.name}: the slide's files cannot be read to the end "
            f"({error.strerror or 'no reason given'}); is its drive still there?"
        ) from error
    return digest.hexdigest()


def files_of_slide(path: Path) -> list[Path]:
    """All files that a slide is made of, sorted by name."""
    if path.is_dir() or path.suffix.lower() == ".dcm":
        return series_files(path)
    suffix = path.suffix.lower()
    found = {path}
    if suffix in FOLDER_SUFFIXES and path.with_suffix("").is_dir():
        found.update(file for file in path.with_suffix("").rglob("*") if file.is_file())
    if suffix in INDEX_SUFFIXES:
        with path.open("rb") as file:
            said = file.read(INDEX_BYTES)
        found.update(
            file
            for file in path.parent.iterdir()
            if file.is_file() and file.name.encode("utf-8", "surrogateescape") in said
        )
    # As POSIX paths, so that every system sorts alike.
    return sorted(found, key=lambda file: file.relative_to(path.parent).as_posix())


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
