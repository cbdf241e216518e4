"""What the engine says there is to choose: models, denoisings, methods; a model's layers."""

from __future__ import annotations

from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.models import Model, builtin_models, resolve_target
from napari_smoothsal.models.formats import FORMATS
from napari_smoothsal.viewer.asked import Describe, DescribeModel
from napari_smoothsal.viewer.layer_choices import layer_choices
from napari_smoothsal.viewer.method_choices import method_choices
from napari_smoothsal.viewer.offered import DenoisingChoice, Described, ModelDescribed
from napari_smoothsal.viewer.option_settings import schema_of

VIEW_BATCH, VIEW_BATCH_PX = 8, 8 * 224 * 224
"""Tiles and pixels per batch of a view, at most. As fast as larger batches on CPUs."""
MOST_VIEW_PX = 400 * 224 * 224
"""Pixels of the tiles of a view: more are not waited for."""


def described(request: Describe) -> Described:
    """The models, denoisings and methods."""
    return Described(
        id=request.id,
        models=tuple(builtin_models()),
        formats=tuple(one.says for one in FORMATS.values()),
        denoisings=tuple(
            DenoisingChoice(
                name=d.name,
                title=d.title,
                options=schema_of(d.options),
                strided=d.attach is not None or d.replaces,
                surrogate=d.replaces,
            )
            for d in DENOISINGS.values()
        ),
        methods=method_choices(),
    )


def model_described(request: DescribeModel, model: Model) -> ModelDescribed:
    """A model's layers and classes."""
    card = model.card
    layers, start = layer_choices(model.layers(), card.input_mpp)
    return ModelDescribed(
        id=request.id,
        model=request.model,
        name=card.name,
        kind=card.kind,
        classes=card.class_names,
        outcomes=tuple(model.readout.outcomes),
        default_target=resolve_target(card, None, "slide").label,
        layers=tuple(layers),
        default_layer=start,
        strided=len(model.strided_convolutions),
        surrogate=model.surrogate is not None,
        tile_px=card.input_size,
        input_mpp=card.input_mpp,
        most_view_tiles=max(4, MOST_VIEW_PX // card.input_size**2),
        view_batch=max(1, min(VIEW_BATCH, VIEW_BATCH_PX // card.input_size**2)),
        licence=card.licence,
        training_data=card.training_data,
        intended_use=card.intended_use,
        notes=card.notes,
    )
