"""How good a map is."""

from napari_smoothsal.evaluation.total_variation import total_variation

__all__ = ["total_variation"]
