"""What is on the glass: opening, resolution, reading regions, tissue, the tile grid."""

from napari_smoothsal.slides.array_slide import ArraySlide
from napari_smoothsal.slides.base import Box, Slide
from napari_smoothsal.slides.opening import open_slide

__all__ = ["ArraySlide", "Box", "Slide", "open_slide"]
