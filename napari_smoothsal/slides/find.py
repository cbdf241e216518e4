"""Slides behind the paths a user gave: files, DICOM folders, folders full of slides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import openslide

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.dicom import slides_of_series

SUFFIXES = {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".svslide", ".bif", ".czi"}
"""Names that only slides have; a TIFF may be anything."""


def slides_among(paths: Iterable[Path]) -> list[Path]:
    """Expand folders to the slides they hold; a folder that is one DICOM slide stays one.

    In a folder of slides, each file that OpenSlide recognises is one (so is one that only has the
    name of a slide: it may be damaged, and must not be left out silently), each DICOM series is one
    (by its first file), and each sub-folder that is one DICOM slide is one.

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
    series = slides_of_series(folder)
    entries = sorted(folder.iterdir())
    files = [e for e in entries if e.is_file() and _is_slide(e)]
    if len(series) == 1 and not files:
        return [folder]
    folders = [e for e in entries if e.is_dir() and len(slides_of_series(e)) == 1]
    found = sorted([*series.values(), *files, *folders])
    if not found:
        raise SlideError(
            f"{folder.name}: a folder without slides; give slide files, a folder that holds some, "
            "or the folder of one DICOM slide"
        )
    return found


def _is_slide(file: Path) -> bool:
    vendor = openslide.OpenSlide.detect_format(file)
    if vendor is None:
        return file.suffix.lower() in SUFFIXES
    return bool(vendor != "dicom")
