"""The synthetic sample slide that is shipped with the package."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path


def sample_slide_path() -> AbstractContextManager[Path]:
    """Path of the sample slide, as a context: a zipped installation unpacks it for the block."""
    return as_file(files("napari_smoothsal.sample_data") / "sample_slide.tif")


def sample_outlines_path() -> AbstractContextManager[Path]:
    """Path of the sample slide's ground truth (GeoJSON), in the same way."""
    return as_file(files("napari_smoothsal.sample_data") / "sample_slide.geojson")
