"""What somebody has marked on a slide: reading it from other programs' files, and writing it."""

from napari_smoothsal.annotations import asap_format as asap_format
from napari_smoothsal.annotations import geojson_format as geojson_format
from napari_smoothsal.annotations.annotation import Annotation, Annotations
from napari_smoothsal.annotations.formats import (
    FORMATS,
    AnnotationFormat,
    format_of,
    read_annotations,
    write_annotations,
)

__all__ = [
    "FORMATS",
    "Annotation",
    "AnnotationFormat",
    "Annotations",
    "format_of",
    "read_annotations",
    "write_annotations",
]
