"""The methods: one file per method, or per family of a few lines each."""

from napari_smoothsal.attribution.methods import (  # noqa: F401 - they register, in this order
    activation,
    cams,
    deeplift,
    gradient,
    gradient_shap,
    integrated_gradients,
    lime,
    occlusion,
    rise,
    shapley,
)  # isort: skip
