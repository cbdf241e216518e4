"""Total variation as a measure of a map; its arithmetic lies in `core`, where denoisings see it."""

from napari_smoothsal.core.total_variation import total_variation

__all__ = ["total_variation"]
