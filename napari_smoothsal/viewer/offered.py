"""What the engine tells of what can be chosen: models, their layers, denoisings, methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

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


class MethodChoice(Choice):
    """A method.

    Attributes
    ----------
    input_only
        Whether it makes maps of the image alone.
    left_out
        Fields of a spec that it has no use for, with what stands in their place.
    nothing_to
        Denoisings that have nothing to do in it.
    one_map_with
        With which of its options there is one map in place of one for each channel: any, where it
        is empty; None: with none.
    """

    input_only: bool
    left_out: dict[str, JsonValue]
    nothing_to: tuple[str, ...]
    one_map_with: dict[str, JsonValue] | None

    def one_map(self, options: Mapping[str, Any]) -> bool:
        """Whether there is one, with these options changed."""
        wanted = self.one_map_with
        return wanted is not None and wanted.items() <= options.items()


class Described(Message):
    """Answer to `Describe`.

    Attributes
    ----------
    models
        Names of the built-in ones.
    formats
        What a folder that holds a model may have in it, in words.
    """

    say: Literal["described"] = "described"
    id: int
    models: tuple[str, ...]
    formats: tuple[str, ...]
    denoisings: tuple[DenoisingChoice, ...]
    methods: tuple[MethodChoice, ...]


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

    @property
    def in_words(self) -> str:
        """Its name, how fine it is, and how well it can be placed."""
        if self.um_per_px is None:
            return f"{self.name} - 1/{self.stride:g} of the model's pixels"
        words = f"{self.name} - {self.um_per_px:.1f} um per pixel"
        if self.spread_px:
            words += f", placed to {self.spread_px * self.um_per_px / self.stride:.1f} um"
        return words


class ModelDescribed(Message):
    """Answer to `DescribeModel`.

    Attributes
    ----------
    model, name
        As it was asked for, and as its card calls it.
    classes, outcomes
        What it gives a score for, and what it may predict.
    strided
        How many strided convolutions it has.
    surrogate
        Whether it has a surrogate for them.
    tile_px
        Side of a tile.
    input_mpp
        Micrometres per pixel of a tile; None where the card does not say it.
    given_mpp
        The same as the user gave it; only where the card does not say it.
    view_batch
        Tiles per batch of a view, few: its map is looked at while it grows.
    most_view_tiles
        A view of more tiles is refused.
    kind, licence, training_data, intended_use, notes
        As its card says.
    """

    say: Literal["model"] = "model"
    id: int
    model: str
    name: str
    kind: Literal["classification", "segmentation"]
    classes: tuple[str, ...]
    outcomes: tuple[str, ...] = ()
    default_target: str
    layers: tuple[LayerChoice, ...]
    default_layer: str
    strided: int
    surrogate: bool
    tile_px: int
    input_mpp: float | None
    given_mpp: float | None = None
    view_batch: int
    most_view_tiles: int
    licence: str | None = None
    training_data: str | None = None
    intended_use: str | None = None
    notes: str | None = None

    @property
    def source(self) -> tuple[str, float | None]:
        """What tells it from others: its name or folder, and the resolution that was given."""
        return self.model, self.given_mpp

    @property
    def tile_um(self) -> float | None:
        """Side of a tile in micrometres; None where nobody has said the resolution."""
        mpp = self.input_mpp or self.given_mpp
        return None if mpp is None else self.tile_px * mpp

    def at(self, mpp: float) -> ModelDescribed:
        """The same at a resolution; as it is where its card says one, or ``mpp`` is 0."""
        if self.input_mpp is not None or mpp <= 0:
            return self
        layers = tuple(
            layer.model_copy(update={"um_per_px": layer.stride * mpp}) for layer in self.layers
        )
        return self.model_copy(update={"given_mpp": mpp, "layers": layers})
