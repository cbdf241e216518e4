"""The methods: one file per method, or per family of a few lines each."""

from napari_smoothsal.attribution.methods import deeplift, gradient  # noqa: F401 - they register
