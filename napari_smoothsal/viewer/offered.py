"""What the engine tells of what can be chosen: models, their layers, denoisings, methods."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from napari_smoothsal.viewer.message import Message


class Choice(Message):
    """A registered name with its line in plain words.

    Attributes
    ----------
    options
        What it can be told; see `option_settings`.
    """

    name: str
    title: str
    options: dict[str, JsonValue]


class DenoisingChoice(Choice):
    """A denoising.

    Attributes
    ----------
    strided
        Whether it changes strided convolutions, and does nothing where there are none.
    surrogate
        Whether it needs the model's surrogate.
    """

    strided: bool
    surrogate: bool


class Described(Message):
    """Answer to `Describe`."""

    say: Literal["described"] = "described"
    id: int
    models: tuple[str, ...]
    denoisings: tuple[DenoisingChoice, ...]
    methods: tuple[Choice, ...]


class LayerChoice(Message):
    """A layer as it is offered.

    Attributes
    ----------
    um_per_px
        Micrometres per pixel of its map; None where the card has no resolution.
    spread_px
        How far, in tile px, the places of the paths that lead to it disagree.
    to_denoise
        Strided convolutions above it.
    main
        Whether it is offered first: the last, least nested module of its stride.
    """

    name: str
    stride: float
    um_per_px: float | None
    spread_px: float
    to_denoise: int
    main: bool


class ModelDescribed(Message):
    """Answer to `DescribeModel`.

    Attributes
    ----------
    model, name
        As it was asked for, and as its card calls it.
    strided
        How many strided convolutions it has.
    surrogate
        Whether it has a surrogate for them.
    tile_um
        Side of a tile in micrometres; None where the card has no resolution.
    view_batch
        Tiles per batch of a view, few: its map is looked at while it grows.
    most_view_tiles
        A view of more tiles is refused.
    """

    say: Literal["model"] = "model"
    id: int
    model: str
    name: str
    classes: tuple[str, ...]
    default_target: str
    layers: tuple[LayerChoice, ...]
    default_layer: str
    strided: int
    surrogate: bool
    tile_um: float | None
    view_batch: int
    most_view_tiles: int
    intended_use: str | None
