"""What napari's process asks the engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_smoothsal.core.hotspot import Ring
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.core.variants import Varied
from napari_smoothsal.render.limits import LimitOf
from napari_smoothsal.viewer.message import Message, Pair


class SlideFile(Message):
    """A slide that the engine opens itself."""

    what: Literal["file"] = "file"
    path: str
    mpp: Pair | None = None


class SlidePixels(Message):
    """The pixels of a layer that only napari's process has.

    Attributes
    ----------
    path
        ``.npy`` with the level-0 pixels of the window.
    window
        (x, y, w, h) of those pixels in the layer.
    size
        (height, width) of the layer's finest level.
    coarse
        ``.npy`` with a small picture of the whole layer, for the tissue; None where the window
        is the whole layer.
    mpp
        (y, x) micrometres per pixel.
    """

    what: Literal["pixels"] = "pixels"
    path: str
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    coarse: str | None
    mpp: Pair


class Describe(Message):
    """Which models, denoisings and methods are there?"""

    ask: Literal["describe"] = "describe"
    id: int


class DescribeModel(Message):
    """Which layers and classes does a model have?"""

    ask: Literal["model"] = "model"
    id: int
    model: str


class Explain(Message):
    """Compute a map; ends an earlier request that is not finished.

    Attributes
    ----------
    model
        Built-in name or folder.
    model_mpp
        Micrometres per pixel of its tiles, where its card does not say them.
    region
        (x, y, w, h) in level-0 px; None: the slide.
    out
        Folder of the store.
    view
        Whether it is of what is in view: looked at while it grows, and not kept.
    max_tiles
        More are refused; None: no limit.
    """

    ask: Literal["explain"] = "explain"
    id: int
    slide: Annotated[SlideFile | SlidePixels, Field(discriminator="what")]
    model: str
    model_mpp: float | None = None
    spec: SaliencySpec
    tiling: Tiling = Tiling()
    compute: Compute = Compute()
    region: tuple[int, int, int, int] | None
    out: str
    where: str | None = None
    top: int | None = None
    view: bool = False
    max_tiles: int | None = None


class Estimate(Message):
    """What would an explanation take? Ends an earlier request that is not finished."""

    ask: Literal["estimate"] = "estimate"
    id: int
    explain: Explain


class Measure(Message):
    """How rough are the maps of several layers and denoisings? Ends an earlier such request.

    Attributes
    ----------
    explain
        Slide, model, region, and the spec whose layer and denoising are put in turn.
    layers, denoisings
        Those.
    most_tiles
        So many tiles, spread over the region, are measured at most.
    """

    ask: Literal["measure"] = "measure"
    id: int
    explain: Explain
    layers: tuple[str, ...]
    denoisings: tuple[str, ...]
    most_tiles: int


class Compare(Message):
    """Compute the maps of a view in several ways; ends an earlier such request.

    Attributes
    ----------
    explain
        Slide, model, region, and the spec of which one thing is varied; ``out`` takes the stores.
    varied, values
        What is: ``model``, or as of `core.variants`; and how.
    """

    ask: Literal["compare"] = "compare"
    id: int
    explain: Explain
    varied: Varied | Literal["model"]
    values: tuple[str, ...]

    @property
    def sources(self) -> list[tuple[str, float | None]]:
        """The model of each column, with the resolution that was given for it."""
        own = self.explain.model, self.explain.model_mpp
        names = self.values if self.varied == "model" else [own[0]] * len(self.values)
        return [own if name == own[0] else (name, None) for name in names]


class SaveColumns(Message):
    """Write a figure of a comparison.

    Attributes
    ----------
    explain
        The slide.
    stores, keys
        Of each column.
    path
        The file.
    one_scale
        Whether full colour is one value, where it can be.
    """

    ask: Literal["save_columns"] = "save_columns"
    id: int
    explain: Explain
    stores: tuple[str, ...]
    keys: tuple[str, ...]
    path: str
    one_scale: bool


class Predict(Message):
    """What does the model predict, and what where it is denoised? Ends an earlier such request."""

    ask: Literal["predict"] = "predict"
    id: int
    explain: Explain


class Trust(Message):
    """How far can maps of the view be trusted? Ends an earlier such request, or a calibration.

    Attributes
    ----------
    explain
        Slide, model, region and spec.
    """

    ask: Literal["trust"] = "trust"
    id: int
    explain: Explain


class Calibrate(Message):
    """Measure the limits of maps on normal tissue, and keep them. Ends an earlier such request.

    Attributes
    ----------
    explain
        Slide, model, spec, and the region of normal tissue.
    error_rate
        Share of normal tiles that may show anything.
    """

    ask: Literal["calibrate"] = "calibrate"
    id: int
    explain: Explain
    error_rate: float


class ShowInput(Message):
    """What does the model get of the tile in the middle? Ends an earlier explanation.

    Attributes
    ----------
    explain
        Slide, model and region.
    path
        ``.npy`` to write it to.
    """

    ask: Literal["input"] = "input"
    id: int
    explain: Explain
    path: str


class DescribeFills(Message):
    """What can be put in the place of what is removed?"""

    ask: Literal["fills"] = "fills"
    id: int


class TryChange(Message):
    """What if a part of the view were replaced? Ends an earlier such request.

    Attributes
    ----------
    explain
        Slide, model, region and the spec of the maps; ``out`` is a folder for what is made.
    polygons
        What is drawn: corners (x, y) in level-0 px.
    change, fill
        See `what_if`.
    maps
        Which maps are wanted: of the changed view, and of the view as it is; none, the first, both.
    """

    ask: Literal["try"] = "try"
    id: int
    explain: Explain
    polygons: tuple[tuple[Pair, ...], ...]
    change: Literal["remove", "reveal"]
    fill: str
    maps: Literal["none", "after", "both"] = "both"


class Save(Message):
    """Keep what was explained: its store, a figure of it, and its masks.

    Attributes
    ----------
    explain
        What it was asked with.
    store
        Its store.
    folder
        Where to.
    limit, limit_of
        Magnitude of full colour, as it is shown, and what it was measured on.
    calibrated
        Whether only what exceeds useful limits is shown.
    """

    ask: Literal["save"] = "save"
    id: int
    explain: Explain
    store: str
    folder: str
    limit: float
    limit_of: LimitOf
    calibrated: bool = True


class FindHotspots(Message):
    """Where is a stored map strong, or what does it say of these places? Ends an earlier such one.

    Attributes
    ----------
    store, key
        The map.
    percentile
        Of the magnitudes that a hotspot is above.
    at
        (x, y) in level-0 px: the hotspot there; None: all, or those drawn.
    drawn
        Places, each of polygons of rings in level-0 px, of which the map is to be read.
    """

    ask: Literal["hotspots"] = "hotspots"
    id: int
    store: str
    key: str
    percentile: float
    at: Pair | None = None
    drawn: tuple[tuple[tuple[Ring, ...], ...], ...] = ()


class Cancel(Message):
    """End every request up to this one, resumable."""

    ask: Literal["cancel"] = "cancel"
    id: int


Request = (
    Describe
    | DescribeModel
    | DescribeFills
    | Explain
    | Estimate
    | Measure
    | Predict
    | ShowInput
    | Save
    | FindHotspots
    | Compare
    | SaveColumns
    | Trust
    | Calibrate
    | TryChange
    | Cancel
)
