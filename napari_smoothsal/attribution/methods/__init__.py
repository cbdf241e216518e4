"""The methods: one file per method, or per family of a few lines each."""

from napari_smoothsal.attribution.methods import (  # noqa: F401 - they register
    deeplift,
    gradient,
    rectified_gradients,
    relevance_propagation,
)
