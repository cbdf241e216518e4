"""Networks of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.libraries.base import (
    ASSUMED,
    NAMELESS,
    Library,
    NamedWeights,
    class_names,
)

TILE_PX = 512
"""Side of a tile where nobody says one: any multiple of the encoder's stride will do."""

_ENCODER = "resnet34"
"""The library's default."""
_TIMM = "tu-"
"""Before names of timm's networks."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

Numbers = tuple[float, ...]


class SmpNetworks(Library):
    """Of `segmentation_models_pytorch`: a decoder's class, with the encoder as an argument."""

    name = "smp"
    how = "smp:DECODER:ENCODER:FILE"
    fetching = ("encoder_weights",)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """As described by `Library.build`."""
        import segmentation_models_pytorch as smp

        known = sorted(
            n for n, c in vars(smp).items() if isinstance(c, type) and issubclass(c, nn.Module)
        )
        if name not in known:
            raise UnknownNameError("network of segmentation_models_pytorch", name, known)
        _check_encoder(str(arguments.get("encoder_name", _ENCODER)))
        module: nn.Module = getattr(smp, name)(encoder_weights=None, **arguments)
        return module

    def described(self, weights: NamedWeights) -> ModelCard:
        """Normalisation is that which the library states for the encoder's ImageNet weights."""
        decoder, _, encoder = weights.name.partition(":")
        if not encoder:
            raise ModelError(f"{weights.name!r} is written {self.how}, e.g. smp:Unet:resnet34:FILE")
        head = self.state(weights.content, weights.file.name).get("segmentation_head.0.weight")
        if head is None:
            raise ModelError(
                f"{weights.file.name!r} is not of a network of segmentation_models_pytorch: it "
                "holds no segmentation head"
            )
        arguments = {"encoder_name": encoder, "classes": len(head)}
        return smp_card(f"{decoder}-{encoder}", decoder, arguments)


def smp_card(name: str, decoder: str, arguments: Mapping[str, Any]) -> ModelCard:
    """What is known of a network of the library by its arguments.

    Parameters
    ----------
    name
        Of the model.
    decoder
        The class.
    arguments
        Of its constructor.

    Raises
    ------
    ModelError
        If they do not say how many classes there are.
    """
    mean, std = _normalisation(str(arguments.get("encoder_name", _ENCODER)))
    classes = arguments.get("classes", 1)
    if not isinstance(classes, int):
        raise ModelError(f"model {name!r}: classes = {classes!r} in its configuration is no number")
    return ModelCard(
        name=name,
        kind="segmentation",
        class_names=class_names(classes),
        input_size=TILE_PX,
        mean=mean,
        std=std,
        architecture=SmpNetworks().architecture(decoder, arguments),
        notes=f"{NAMELESS} {ASSUMED}",
    )


def _check_encoder(name: str) -> None:
    """Only those that are built here: of others the library would ask a model hub, or a path."""
    import segmentation_models_pytorch as smp
    import timm

    known = smp.encoders.get_encoder_names()
    if name not in known and not (name.startswith(_TIMM) and timm.is_model(name[len(_TIMM) :])):
        raise UnknownNameError("encoder of segmentation_models_pytorch", name, known)


def _normalisation(encoder: str) -> tuple[Numbers, Numbers]:
    """Mean and std of the images that the encoder's published weights were trained on.

    The library itself would look them up on a model hub.
    """
    if encoder.startswith(_TIMM):
        import timm

        settings = timm.models.get_pretrained_cfg(encoder.removeprefix(_TIMM))
        return (tuple(settings.mean), tuple(settings.std)) if settings else IMAGENET
    if encoder.startswith(("inception", "xception")):
        return (0.5,) * 3, (0.5,) * 3
    if encoder.startswith("dpn"):
        return (124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3
    return IMAGENET
