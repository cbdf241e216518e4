"""From what the dock shows to a request to the engine: which slide, which region, which store."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.runs.layout import SUFFIX
from napari_smoothsal.viewer.asked import SlideFile, SlidePixels
from napari_smoothsal.viewer.field_of_view import Region, field_of_view, layer_size
from napari_smoothsal.viewer.offered import ModelDescribed
from napari_smoothsal.viewer.pixels import PixelCopy
from napari_smoothsal.viewer.placement import (
    Pair,
    Placed,
    placement_in_micrometres,
    placement_on,
    resolution_of,
)
from napari_smoothsal.viewer.slide_source import source_of

DEFAULT_MARGIN_PX = 512


class NotExplainableError(SmoothsalError):
    """What is selected cannot be explained as it is."""


@dataclass(frozen=True)
class ExplainedSlide:
    """A layer as a slide.

    Attributes
    ----------
    layer
        The napari layer.
    mpp
        (y, x) micrometres per level-0 px.
    size
        (height, width) of level 0 without padding.
    """

    layer: Any
    mpp: Pair
    size: tuple[int, int]

    def view(self, viewer: Any) -> Region:
        """The level-0 region in view.

        Raises
        ------
        NotExplainableError
            In 3-D, or where the slide is out of sight.
        """
        if viewer.dims.ndisplay != 2:
            raise NotExplainableError("switch to the 2-D view: a slide is flat")
        region = field_of_view(viewer, self.layer, self.size)
        if region is None:
            raise NotExplainableError(
                f"layer {self.layer.name!r} is not in view; move it into the window, or press Home"
            )
        return region

    def world(self, place: Pair) -> NDArray[np.float64]:
        """World coordinates (y, x) of a place in level-0 px."""
        return np.asarray(self.layer.data_to_world(place), float)[-2:]

    def placement(self, picture: Placed) -> dict[str, Any]:
        """Options of a layer that lies on it."""
        return placement_on(self.layer, picture, self.mpp)

    def handed_over(
        self, region: Region | None, tile_um: float | None, folder: Path
    ) -> tuple[SlideFile | SlidePixels, Iterator[None]]:
        """How the engine gets the pixels, and the steps that are to be done before."""
        source = source_of(self.layer)
        if source is not None:
            return SlideFile(path=str(source.path), mpp=self.mpp), iter(())
        margin = DEFAULT_MARGIN_PX if tile_um is None else math.ceil(tile_um / min(self.mpp))
        height, width = self.size
        copy = PixelCopy(self.layer, region or (0, 0, width, height), margin, self.mpp, folder)
        return copy.sent, copy.steps()


class StoredSlide(ExplainedSlide):
    """The slide of a store that is open without it; `layer` is the store's map, in micrometres."""

    def world(self, place: Pair) -> NDArray[np.float64]:
        """World coordinates (y, x) of a place in level-0 px."""
        return np.multiply(place, self.mpp)

    def placement(self, picture: Placed) -> dict[str, Any]:
        """Options of a layer that lies on it."""
        return placement_in_micrometres(picture)


def explained_slide(layer: Any, asked_mpp: float) -> ExplainedSlide:
    """A layer with the resolution it states, or else the one that was asked for.

    Raises
    ------
    NotExplainableError
        Where nobody gave a resolution.
    """
    stated = resolution_of(layer)
    if stated is None and asked_mpp <= 0:
        raise NotExplainableError(
            f"layer {layer.name!r} does not say how many micrometres a pixel has; enter it beside "
            "um per pixel, e.g. 0.25 for a 40x scan and 0.5 for a 20x scan"
        )
    source = source_of(layer)
    size = source.size if source is not None else layer_size(layer)
    return ExplainedSlide(layer, stated or (asked_mpp, asked_mpp), size)


def explained_model(model: ModelDescribed, asked_mpp: float) -> ModelDescribed:
    """A model at the resolution that its card states, or else the one that was asked for.

    Raises
    ------
    NotExplainableError
        Where nobody gave a resolution.
    """
    if model.input_mpp is None and asked_mpp <= 0:
        raise NotExplainableError(
            f"model {model.name!r} does not say how many micrometres a pixel of its tiles has; "
            "enter it beside model um per px, e.g. 0.5 where it was trained at 20x and 0.25 at 40x"
        )
    return model.at(asked_mpp)


def result_folder(entered: str) -> Path:
    """The folder that was entered for results.

    Raises
    ------
    NotExplainableError
        Where there is none.
    """
    folder = Path(entered).expanduser()
    if not folder.is_dir():
        raise NotExplainableError(f"there is no folder {str(folder)!r}; choose another one")
    return folder


def store_path(
    slide: ExplainedSlide,
    folder: str,
    model: str,
    spec: SaliencySpec,
    drawn: object = None,
    more: object = (),
) -> Path:
    """Where the store of a map goes: the same settings give the same place, so that explaining
    again resumes.

    Parameters
    ----------
    slide, folder, model, spec
        What is explained, how, and the folder that was chosen.
    drawn
        The part of the slide; None: all of it.
    more
        What else distinguishes one result from another.

    Raises
    ------
    NotExplainableError
        Where there is no folder to write to.
    """
    source = source_of(slide.layer)
    if folder:
        parent = result_folder(folder)
    elif source is not None:
        parent = source.path.parent
    else:
        raise NotExplainableError(
            "this layer has no file to put the result beside; choose a folder under Save to"
        )
    stem = source.path.stem if source is not None else re.sub(r"[^\w.+-]", "_", slide.layer.name)
    place = source.path.absolute() if source is not None else slide.layer.unique_id
    settings = f"{place} {model} {slide.mpp} {spec.model_dump_json()} {more}"
    if drawn is not None:
        settings += f" {drawn}"
    mark = hashlib.sha256(settings.encode()).hexdigest()[:6]
    part = "" if drawn is None else ".region"
    return parent / f"{stem}.{spec.layer}.{spec.denoising}{part}.{mark}{SUFFIX}"
