"""Finding the one DICOM slide in a folder: OpenSlide wants a file of it, users have the folder."""

from __future__ import annotations

from pathlib import Path

from napari_smoothsal.core.errors import SlideError

_SERIES_UID = b"\x20\x00\x0e\x00UI"
"""Tag (0020,000E), Series Instance UID, explicit VR, little endian: all that DICOM slides use."""

_HEADER_BYTES = 2**16
_MAX_FILES = 4096


def slide_file_in(folder: Path) -> Path:
    """Return a file of the DICOM slide that `folder` holds.

    Raises
    ------
    SlideError
        Where it holds no DICOM file, or files of several series.
    """
    by_series = slides_of_series(folder)
    if not by_series:
        raise SlideError(
            f"{folder.name}: a folder without DICOM files; give a slide file, or the folder that "
            "holds the .dcm files of one slide"
        )
    if len(by_series) > 1:
        raise SlideError(
            f"{folder.name}: the folder holds {len(by_series)} DICOM series; give one .dcm file "
            "of the slide that is meant"
        )
    return next(iter(by_series.values()))


def slides_of_series(folder: Path) -> dict[bytes, Path]:
    """First file of each DICOM series in a folder, by series UID.

    Raises
    ------
    SlideError
        Where the folder holds too many files to look into.
    """
    return {series: files[0] for series, files in _by_series(folder).items()}


def series_files(path: Path) -> list[Path]:
    """All files, sorted by name, of the DICOM slide that a folder holds or that a file is of.

    Raises
    ------
    SlideError
        As `slide_file_in`; or where a file is no DICOM file.
    """
    first = slide_file_in(path) if path.is_dir() else path
    series = _series_of(first)
    if series is None:
        raise SlideError(f"{path.name}: not a DICOM file, whatever its name; give a slide")
    return _by_series(first.parent)[series]


def _by_series(folder: Path) -> dict[bytes, list[Path]]:
    by_series: dict[bytes, list[Path]] = {}
    for count, path in enumerate(sorted(folder.iterdir())):
        if count >= _MAX_FILES:
            raise SlideError(
                f"{folder.name}: more than {_MAX_FILES} files; give one file of the slide instead"
            )
        if path.is_file() and (series := _series_of(path)) is not None:
            by_series.setdefault(series, []).append(path)
    return by_series


def _series_of(path: Path) -> bytes | None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if header[128:132] != b"DICM":
        return None
    at = header.find(_SERIES_UID, 132)
    if at < 0:
        return b""
    length = int.from_bytes(header[at + 6 : at + 8], "little")
    return header[at + 8 : at + 8 + length].rstrip(b"\0 ")
