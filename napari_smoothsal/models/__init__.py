"""The network: loading it, its layers with stride and centre, its targets."""

from napari_smoothsal.models.layers import LayerInfo
from napari_smoothsal.models.loading import builtin_models, load_model
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.readout import Decision, Question, Readout
from napari_smoothsal.models.targets import Target, resolve_target

__all__ = [
    "Decision",
    "LayerInfo",
    "Model",
    "Question",
    "Readout",
    "Target",
    "builtin_models",
    "load_model",
    "resolve_target",
]
