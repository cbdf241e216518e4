"""Slides behind the paths a user gave: files, DICOM folders, folders full of slides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import openslide

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.dicom import slide_file_in


def slides_among(paths: Iterable[Path]) -> list[Path]:
    """Expand folders to the slides they hold; a folder that is one DICOM slide stays one.

    Raises
    ------
    SlideError
        Where a folder holds nothing that OpenSlide recognises.
    """
    found: list[Path] = []
    for path in paths:
        found += _in_folder(path) if path.is_dir() else [path]
    return found


def _in_folder(folder: Path) -> list[Path]:
    try:
        slide_file_in(folder)
    except SlideError:
        pass
    else:
        return [folder]
    files = [
        entry
        for entry in sorted(folder.iterdir())
        if entry.is_file() and openslide.OpenSlide.detect_format(entry) is not None
    ]
    if not files:
        raise SlideError(
            f"{folder.name}: a folder without slides; give slide files, a folder that holds some, "
            "or the folder of one DICOM slide"
        )
    return files
