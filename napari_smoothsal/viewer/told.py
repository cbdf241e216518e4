"""What the engine tells napari's process; what can be chosen is in `offered`."""

from __future__ import annotations

from typing import Literal

from pydantic import Base64Bytes

from napari_smoothsal.core.hotspot import Hotspot
from napari_smoothsal.render.words import Counted
from napari_smoothsal.viewer.map_picture import ClassPicture, MapPicture
from napari_smoothsal.viewer.message import Message, Pair
from napari_smoothsal.viewer.offered import Described, ModelDescribed
from napari_smoothsal.viewer.packed_states import PackedStates
from napari_smoothsal.viewer.told_columns import Compared
from napari_smoothsal.viewer.told_of_trials import FillsDescribed, Tried
from napari_smoothsal.viewer.told_trust import Calibrated, TrustTold

MOST_ROWS = 20_000
"""Tiles in a message, at most."""


class Ready(Message):
    """The engine has loaded its libraries."""

    say: Literal["ready"] = "ready"
    threads: int


class TissueFound(Message):
    """Where a run will look, before it starts.

    Attributes
    ----------
    share, source
        Of the slide, 0..1, and how it was found.
    mask_png
        The mask as a PNG, 255 on tissue.
    scale_um, translate_um
        Of the mask, (y, x).
    """

    say: Literal["tissue"] = "tissue"
    id: int
    share: float
    source: str
    mask_png: Base64Bytes
    scale_um: tuple[float, float]
    translate_um: tuple[float, float]


class Estimated(Message):
    """Answer to `Estimate`, after `TissueFound`.

    Attributes
    ----------
    tiles, explained
        To predict, and to explain at most.
    seconds, prediction_seconds
        Of explaining those; None where there are none. Of predicting all before; None where all are
        explained.
    bytes, memory_bytes
        On disk and in memory, at most.
    """

    say: Literal["estimate"] = "estimate"
    id: int
    tiles: int
    explained: int
    seconds: float | None
    prediction_seconds: float | None
    bytes: int
    memory_bytes: int


class Progressed(Message):
    """How far a run is; `stage` says what is done to the tiles, predicting or explaining."""

    say: Literal["progress"] = "progress"
    id: int
    done: int
    total: int
    failed: int
    tiles_per_s: float
    seconds_left: float | None
    stage: str = "explaining"


class Reading(Message):
    """Means over the tiles of a run.

    Attributes
    ----------
    tiles, failed
        Explained tiles, and those that could not be.
    target, empty
        What is explained, and in how many tiles nothing is predicted as it, so that the map is
        zero there.
    total_variation
        Of the raw map; None without tiles.
    standard_error
        Relative, of the mean over noise samples, or of what was drawn else; None where nothing
        was.
    samples, counted
        How many so far, of a tile, and of what.
    displaced_um, fine_displaced_um
        How far the map, and its finest structure, may lie beside what it shows, because of its
        denoising.
    probabilities, predicted
        Mean probability of each class, and how many tiles are predicted as it.
    weak, otherwise
        Tiles whose predicted class has a probability below `LEAST_PROBABILITY`, and those that are
        predicted as another class than is explained.
    looked_at, left_out, choice
        Tiles that are predicted, of which so many are not explained, and in words which ones are.
    """

    tiles: int
    failed: int
    target: str
    empty: int
    total_variation: float | None
    standard_error: float | None
    samples: float
    counted: Counted
    displaced_um: float
    probabilities: dict[str, float]
    predicted: dict[str, int]
    weak: int = 0
    otherwise: int = 0
    fine_displaced_um: float = 0.0
    looked_at: int = 0
    left_out: int = 0
    choice: str = ""


class Grown(Message):
    """More of the maps, and of the class map where there is one, is in the store.

    Attributes
    ----------
    reading
        What is known so far, of a view that refines itself; None of a slide that grows.
    """

    say: Literal["grown"] = "grown"
    id: int
    pictures: tuple[MapPicture, ...]
    classes: ClassPicture | None
    reading: Reading | None = None


class TileRow(Message):
    """What a run says of one tile.

    Attributes
    ----------
    box
        (x, y, w, h) in level-0 px.
    predicted
        Class.
    probability
        Of the class that is explained, or of the one predicted where that differs by tile.
    total_variation, saliency
        Of the raw map; mean magnitude of the reduced one. None where there is none.
    difference
        Between the probabilities of the model and of the network that the denoising explains,
        summed over classes; None where that is the model's own.
    against
        How much the prediction speaks against what is explained: 1 less the probability of the
        class that is explained where another one is predicted, else 0; None where no one class is.
    """

    box: tuple[float, float, float, float]
    predicted: str
    probability: float | None
    total_variation: float | None
    saliency: float | None
    difference: float | None
    against: float | None


class Finished(Message):
    """A run ended: complete, or stopped on request and resumable.

    Attributes
    ----------
    tiles
        The predicted ones, those that are explained first.
    states
        What became of each tile, of the first map.
    """

    say: Literal["finished"] = "finished"
    id: int
    status: str
    pictures: tuple[MapPicture, ...]
    classes: ClassPicture | None
    reading: Reading
    tiles: tuple[TileRow, ...] = ()
    states: PackedStates | None = None
    warnings: tuple[str, ...] = ()


class Roughness(Message):
    """Total variation of one layer under one denoising, over tiles.

    Attributes
    ----------
    mean, std
        None where no tile has a map.
    """

    layer: str
    denoising: str
    mean: float | None
    std: float | None


class Measured(Message):
    """Answer to `Measure`: one after each batch, the last of which is complete.

    Attributes
    ----------
    rows
        As far as they are.
    tiles, of
        Measured so far, and in the end.
    noise, blurred_noise
        Of white noise of the size of each layer's map, and of that blurred with a sigma of 1 px.
    """

    say: Literal["measured"] = "measured"
    id: int
    rows: tuple[Roughness, ...]
    tiles: int
    of: int
    noise: dict[str, float]
    blurred_noise: dict[str, float]
    complete: bool


class Predicted(Message):
    """Answer to `Predict`: means over the tiles of the region.

    Attributes
    ----------
    tiles, of
        How many, and of how many in the region; unreadable ones are left out.
    original, denoised
        Mean probability of each class, of the model and of what the denoising makes of it; None
        where it leaves the network as it is.
    difference_all, difference_label
        Of probabilities, times 100: of all classes together, and of the one predicted.
    predicted
        How many tiles are predicted as what.
    weak
        How many with a probability below `LEAST_PROBABILITY`.
    """

    say: Literal["predicted"] = "predicted"
    id: int
    tiles: int
    of: int
    original: dict[str, float]
    denoised: dict[str, float] | None
    difference_all: float | None
    difference_label: float | None
    predicted: dict[str, int]
    weak: int = 0
    complete: bool = True


class InputShown(Message):
    """Answer to `ShowInput`.

    Attributes
    ----------
    path
        ``.npy``, float32 (h, w, channels), normalised.
    scale_um, translate_um
        Of its pixels, (y, x).
    um_per_px
        The model's resolution.
    """

    say: Literal["input"] = "input"
    id: int
    path: str
    scale_um: Pair
    translate_um: Pair
    um_per_px: float


class Saved(Message):
    """Answer to `Save`: names of the files and folders, new ones or already there."""

    say: Literal["saved"] = "saved"
    id: int
    names: tuple[str, ...]


class HotspotsFound(Message):
    """Answer to `FindHotspots`, those of most saliency first, or as they were drawn."""

    say: Literal["hotspots"] = "hotspots"
    id: int
    hotspots: tuple[Hotspot, ...]


class Stopped(Message):
    """A request was ended before there was anything to keep."""

    say: Literal["stopped"] = "stopped"
    id: int


class Failed(Message):
    """A request could not be met.

    Attributes
    ----------
    kind
        Name of the error's class.
    message
        What was wrong and what to do, for the user.
    expected
        Whether it was raised on purpose; otherwise it is a defect of this program.
    """

    say: Literal["failed"] = "failed"
    id: int
    kind: str
    message: str
    expected: bool


Answer = (
    Ready
    | Described
    | ModelDescribed
    | TissueFound
    | Estimated
    | Progressed
    | Grown
    | Measured
    | Compared
    | Predicted
    | TrustTold
    | Calibrated
    | Finished
    | InputShown
    | FillsDescribed
    | Tried
    | Saved
    | HotspotsFound
    | Stopped
    | Failed
)
