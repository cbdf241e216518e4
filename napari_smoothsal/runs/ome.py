"""OME-Zarr 0.5 metadata, built by ome-zarr-models so that nothing invalid can be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ome_zarr_models.v05.axes import Axis
from ome_zarr_models.v05.image import ImageAttrs
from ome_zarr_models.v05.image_label_types import Color, Label, Property, Source
from ome_zarr_models.v05.multiscales import Dataset, Multiscale

Pair = tuple[float, float]

MICROMETRE = "micrometer"


def image_attributes(
    name: str,
    paths: Sequence[str],
    scales: Sequence[Pair],
    translations: Sequence[Pair],
    *,
    channels: bool = False,
    downsampling: str,
) -> dict[str, Any]:
    """The ``ome`` attribute of an image group.

    Parameters
    ----------
    name
        Of the multiscale image.
    paths, scales, translations
        Of each level, finest first; micrometres, (y, x).
    channels
        Whether a channel axis comes first.
    downsampling
        How the coarser levels were made.
    """
    axes = [Axis(name=n, type="space", unit=MICROMETRE) for n in ("y", "x")]
    lead_scale: list[float] = []
    lead_place: list[float] = []
    if channels:
        axes.insert(0, Axis(name="c", type="channel"))
        lead_scale, lead_place = [1.0], [0.0]
    datasets = [
        Dataset.build(
            path=path, scale=[*lead_scale, *scale], translation=[*lead_place, *translation]
        )
        for path, scale, translation in zip(paths, scales, translations, strict=True)
    ]
    attributes = ImageAttrs(
        version="0.5",
        multiscales=[Multiscale(axes=axes, datasets=datasets, name=name, type=downsampling)],
    )
    return attributes.model_dump(mode="json", exclude_none=True, by_alias=True)


def rgb_channels() -> dict[str, Any]:
    """The ``omero`` attribute of an 8-bit RGB image with its channels first."""
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {
        "channels": [
            {"label": label, "color": colour, "window": window, "active": True}
            for label, colour in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
        ],
        "rdefs": {"model": "color"},
    }


def class_channels(classes: Sequence[str], colours: Sequence[str]) -> dict[str, Any]:
    """The ``omero`` attribute of class probabilities in 8 bits, one channel per class."""
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {
        "channels": [
            {"label": name, "color": colour.lstrip("#").upper(), "window": window, "active": True}
            for name, colour in zip(classes, colours, strict=False)
        ]
    }


def class_labels(
    classes: Sequence[str], colours: Sequence[str], transparent: str | None
) -> dict[str, Any]:
    """The ``image-label`` attribute of labels that are class indices plus 1.

    Parameters
    ----------
    classes, colours
        Names and ``#rrggbb``, in the order of the labels.
    transparent
        The class that hides nothing, if there is one.
    """
    label = Label(
        colors=tuple(
            Color.model_validate(
                {"label-value": value, "rgba": (*_rgb(colour), 0 if name == transparent else 255)}
            )
            for value, (name, colour) in enumerate(zip(classes, colours, strict=True), start=1)
        ),
        properties=tuple(
            Property.model_validate({"label-value": value, "class": name})
            for value, name in enumerate(classes, start=1)
        ),
        source=Source(image="../../"),
    )
    return label.model_dump(mode="json", exclude_none=True, by_alias=True)


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return (red, green, blue)


def level_placement(scale: Pair, translate: Pair, levels: int) -> tuple[list[Pair], list[Pair]]:
    """Scale and translate of each level: level k is 2^k coarser and starts (2^k - 1)/2 px in."""
    scales: list[Pair] = []
    places: list[Pair] = []
    for k in range(levels):
        factor, shift = 2.0**k, (2.0**k - 1) / 2
        scales.append((scale[0] * factor, scale[1] * factor))
        places.append((translate[0] + shift * scale[0], translate[1] + shift * scale[1]))
    return scales, places
