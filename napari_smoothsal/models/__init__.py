"""The network: loading it, its layers with stride and centre, its targets."""

from napari_smoothsal.models.layers import LayerInfo
from napari_smoothsal.models.loading import builtin_models, load_model
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.targets import Target, probabilities, resolve_target

__all__ = [
    "LayerInfo",
    "Model",
    "Target",
    "builtin_models",
    "load_model",
    "probabilities",
    "resolve_target",
]
