"""The methods: one file per method, or per family of a few lines each."""
# ruff: noqa: F401, I001 - they register, in the order in which lists show them

from napari_smoothsal.attribution.methods import gradient
from napari_smoothsal.attribution.methods import deeplift
from napari_smoothsal.attribution.methods import integrated_gradients
from napari_smoothsal.attribution.methods import gradient_shap
from napari_smoothsal.attribution.methods import relevance_propagation
from napari_smoothsal.attribution.methods import rectified_gradients
from napari_smoothsal.attribution.methods import cams
from napari_smoothsal.attribution.methods import activation
from napari_smoothsal.attribution.methods import occlusion
from napari_smoothsal.attribution.methods import rise
from napari_smoothsal.attribution.methods import lime
from napari_smoothsal.attribution.methods import shapley
from napari_smoothsal.attribution.methods import igos
from napari_smoothsal.attribution.methods import meaningful_perturbation
from napari_smoothsal.attribution.methods import extremal_perturbation
