"""Run: what a store holds, read-only, complete or still growing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.checks import weakly_predicted
from napari_smoothsal.core.displacement import Displacement
from napari_smoothsal.core.errors import StoreError, UnknownNameError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.runs.choice import choice_in_words
from napari_smoothsal.runs.class_map import ClassMap
from napari_smoothsal.runs.layout import (
    FORMAT,
    LEFT_OUT,
    NAMESPACE,
    NOT_EXPLAINED,
    PENDING,
    PER_MAP,
    PREDICTION,
    STATUS_NAMES,
    own_attributes,
)
from napari_smoothsal.runs.places import Place, place_of
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, group_at, open_root

Pair = tuple[float, float]


class RunMap:
    """One stitched map of a run.

    Attributes
    ----------
    key
        Its name in the run.
    spec
        What was computed.
    target
        In words: the class, ``a-b``, or ``auto``.
    positive, negative
        What values above and below zero say of the target, as a verb: "supports"; the latter is
        empty of a map that has no such values.
    of_the_target
        Whether they say anything of it: an activation does not.
    displacement
        By how many tile px the denoising moves the map, and what the placement takes back.
    shape
        (h, w) of level 0 without its padding.
    changes_network
        Whether the denoising makes another network of the model.
    idle_denoising
        Whether the denoising had nothing to do, so that the map is the original's.
    normal_magnitude
        The 99.9th percentile of such a map's magnitudes on the model's own normal tissue; None
        where there is none.
    calibration
        Limits below which the map shows nothing; None where they were not measured.
    displaced_um, fine_displaced_um
        How far the map, and its finest structure, may lie beside what it shows, as it is placed.
    stride_px
        (y, x) tile px from one pixel of level 0 to the next.
    scale_um, translate_um
        (y, x) of level 0, in micrometres; translate is the centre of pixel (0, 0).
    """

    def __init__(self, group: zarr.Group, key: str) -> None:
        self._group = group
        self.key = key
        attributes = attributes_of(group)
        own = attributes[NAMESPACE]
        self.spec = SaliencySpec(**own["spec"])
        self.target: str = own["target"]
        self.positive: str = own["positive"]
        self.negative: str = own["negative"]
        moved = own["displacement"]
        self.displacement = Displacement(
            near_px=tuple(moved["near_px"]),
            far_px=tuple(moved["far_px"]),
            near_spread_px=moved["near_spread_px"],
            far_spread_px=moved["far_spread_px"],
            placed_px=tuple(moved["placed_px"]),
        )
        # A store may be older than these.
        self.changes_network: bool = own.get("changes_network", False)
        self.idle_denoising: bool = own.get("idle_denoising", False)
        self.of_the_target: bool = own.get("of_the_target", True)
        self.normal_magnitude: float | None = own.get("normal_magnitude")
        calibration = own.get("calibration")
        self.calibration = None if calibration is None else Calibration(**calibration)
        self.shape: tuple[int, int] = (own["shape"][0], own["shape"][1])
        self._datasets = attributes["ome"]["multiscales"][0]["datasets"]
        scale, translation = self._datasets[0]["coordinateTransformations"]
        self.scale_um: Pair = tuple(scale["scale"])
        self.translate_um: Pair = tuple(translation["translation"])
        self.stride_px: Pair = tuple(own["stride_px"])
        um_per_tile_px = max(np.divide(self.scale_um, self.stride_px))
        self.displaced_um = float(self.displacement.left_px * um_per_tile_px)
        self.fine_displaced_um = float(self.displacement.fine_left_px * um_per_tile_px)

    def __repr__(self) -> str:
        return f"RunMap({self.key!r}, {self.shape})"

    @property
    def levels(self) -> list[zarr.Array[Any]]:
        """Zarr arrays (h, w), finest first; each coarser level holds means."""
        return [array_at(self._group, dataset["path"]) for dataset in self._datasets]

    @property
    def extreme_levels(self) -> list[zarr.Array[Any]]:
        """The same, but coarser levels hold the value of largest magnitude."""
        paths = [dataset["path"] for dataset in self._datasets]
        names = [paths[0], *(f"extreme/{path}" for path in paths[1:])]
        return [array_at(self._group, name) for name in names]

    def largest_magnitude(self, percentile: float = 99.0) -> float:
        """A percentile of the magnitudes of the coarsest extreme level; 0 on an empty map.

        Without exact zeros: where nothing is predicted as the target there is nothing to see, and
        however many such places there are, the rest is to be seen.
        """
        values = np.abs(np.asarray(self.extreme_levels[-1][:]))
        values = values[np.isfinite(values) & (values > 0)]
        return float(np.percentile(values, percentile)) if len(values) else 0.0


class _Maps(Mapping[str, RunMap]):
    def __init__(self, root: zarr.Group, keys: list[str]) -> None:
        self._root = root
        self._keys = keys

    def __getitem__(self, key: str) -> RunMap:
        if key not in self._keys:
            raise UnknownNameError("map of this run", key, self._keys)
        return RunMap(group_at(self._root, f"maps/{key}"), key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class Run:
    """A store opened for reading; each access reads what is there now.

    Attributes
    ----------
    path
        Its folder, or its URL.
    """

    def __init__(self, path: str | PathLike[str] | Place) -> None:
        path = place_of(path)
        own = own_attributes(path)
        if own is None:
            raise StoreError(
                f"{path.name!r} is no saliency store; give a folder that `smoothsal run` wrote"
            )
        if own["format"] != FORMAT:
            raise StoreError(
                f"{path.name!r} was written in store format {own['format']}, this version reads "
                f"{FORMAT}; compute it again"
            )
        self.path = path

    def __repr__(self) -> str:
        return f"Run({self.path.name!r}, {self.status}, {len(self.maps)} maps)"

    @property
    def _own(self) -> dict[str, Any]:
        own = own_attributes(self.path)
        if own is None:
            raise StoreError(f"store {self.path.name!r} is gone or damaged")
        return own

    @property
    def _root(self) -> zarr.Group:
        return open_root(self.path, "r")

    @property
    def status(self) -> str:
        """``running``, ``complete``, ``complete_with_errors`` or ``failed``."""
        return str(self._own["status"])

    @property
    def provenance(self) -> dict[str, Any]:
        """What was run on what with which versions; no path, no patient, no scanner."""
        own = self._own
        return {**own["identity"], **own["provenance"]}

    @property
    def region(self) -> tuple[int, int, int, int]:
        """(x, y, w, h) in level-0 px that was asked for: all of the slide, or a part."""
        x, y, w, h = self._own["identity"]["region"]
        return (x, y, w, h)

    @property
    def of_a_part(self) -> bool:
        """Whether less than the slide was asked for."""
        slide = self._own["identity"]["slide"]
        return self.region != (0, 0, slide["width"], slide["height"])

    @property
    def maps(self) -> Mapping[str, RunMap]:
        """Stitched maps by key."""
        return _Maps(self._root, list(self._own["maps"]))

    @property
    def class_map(self) -> ClassMap | None:
        """The class of every pixel; None where the model decides once per tile."""
        root = self._root
        return ClassMap(root) if PREDICTION in root else None

    @property
    def mpp(self) -> Pair:
        """(y, x) micrometres per level-0 px of the slide."""
        y, x = self._own["identity"]["slide"]["mpp"]
        return (y, x)

    @property
    def tiles(self) -> pd.DataFrame:
        """One row per tile.

        ``x_px, y_px, w_px, h_px`` (level 0), ``status``, ``predicted``, ``p_<class>`` and, per
        map: ``tv_<key>`` total variation; ``se_<key>`` relative standard error over the noise
        samples, of which there are ``samples_<key>``; ``delta_<key>`` of DeepLift, how far the
        sum over the map is from what it should explain; ``explained_px_<key>``, of models that
        decide per pixel, the pixels whose score is explained: 0 where the class is predicted
        nowhere in the tile, so that its map is zero and has no total variation;
        ``difference_<key>`` between the class probabilities of the model and of the network that
        the denoising explains, absolute and summed over classes (of models that decide per pixel:
        of the tile's means): 0 where that is the model's own."""
        own = self._own
        columns = {
            name: np.asarray(array[:]) for name, array in group_at(self._root, "tiles").arrays()
        }
        table = pd.DataFrame({name: columns[name] for name in ("x_px", "y_px", "w_px", "h_px")})
        table["status"] = np.array(STATUS_NAMES, object)[self._waiting(columns["status"])]
        classes = own["identity"]["model"]["class_names"]
        outcomes = dict(enumerate(own["identity"]["model"]["outcomes"]))
        table["predicted"] = [outcomes.get(int(p), "") for p in columns["predicted"]]
        for index, name in enumerate(classes):
            table[f"p_{name}"] = columns[f"p_{index}"]
        of_maps = {
            f"{name}_{key}": columns[f"{name}_{index}"]
            for index, key in enumerate(own["maps"])
            for name in PER_MAP
            if f"{name}_{index}" in columns  # a store may be older than a column
        }
        return pd.concat([table, pd.DataFrame(of_maps)], axis=1)

    @property
    def predicted(self) -> pd.DataFrame:
        """The tiles of which the model has said something, explained or not."""
        tiles = self.tiles
        return tiles[(tiles["predicted"] != "") & (tiles["status"] != "failed")]

    @property
    def not_explained(self) -> pd.DataFrame:
        """The tiles that are predicted and were left out of what is explained."""
        tiles = self.tiles
        return tiles[tiles["status"] == "not_explained"]

    @property
    def choice(self) -> str:
        """Which tiles are explained, in words: ``where p(tumour) > 0.5``; empty: all."""
        chosen = self._own["identity"].get("choice")
        return "" if chosen is None else choice_in_words(chosen["where"], chosen["top"])

    def _waiting(self, status: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Status of tiles, of which those that are still to be explained are pending again."""
        state = group_at(self._root, "state")
        if "chosen" not in state:
            return status
        left_out = np.asarray(array_at(state, "chosen")[:]) == LEFT_OUT
        return np.where((status == NOT_EXPLAINED) & ~left_out, PENDING, status)

    def tiles_of_another_class(self, run_map: RunMap) -> pd.DataFrame:
        """The explained tiles that are predicted as another class than a map explains.

        None where it does not explain one class: a difference, a hidden unit, whatever is
        predicted. And none of a model that decides per pixel: its class map says where.
        """
        tiles = self.tiles
        one_class = run_map.target in self._own["identity"]["model"]["class_names"]
        if not one_class or self.class_map is not None:
            return tiles[:0]
        done = tiles["status"] == "done"
        return tiles[done & (tiles["predicted"] != run_map.target)]

    @property
    def weakly_predicted(self) -> pd.DataFrame:
        """The explained tiles whose predicted class has a probability below `LEAST_PROBABILITY`.

        They are explained like any other, but little speaks for what their maps explain. Where no
        maps are made, of all tiles. None of a model that decides per pixel, which has no one
        probability of a tile.
        """
        tiles = self.tiles
        if self.class_map is not None:
            return tiles[:0]
        names = self._own["identity"]["model"]["class_names"]
        given = tiles[[f"p_{name}" for name in names]].to_numpy(float)
        done = (tiles["status"] == "done").to_numpy()
        return tiles[done & weakly_predicted(given)]

    @property
    def overview(self) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Pair, Pair]:
        """(h, w, 3) picture of the slide with its scale and translate in micrometres."""
        group = group_at(self._root, "overview")
        dataset = attributes_of(group)["ome"]["multiscales"][0]["datasets"][0]
        scale, translation = dataset["coordinateTransformations"]
        picture = np.asarray(array_at(group, "0")[:]).transpose(1, 2, 0)
        return picture, tuple(scale["scale"][1:]), tuple(translation["translation"][1:])


def open_run(path: str | PathLike[str] | Place) -> Run:
    """Open a store for reading.

    Parameters
    ----------
    path
        Folder, or URL such as ``s3://bucket/case.smoothsal.zarr``, that `explain_slide` or
        ``smoothsal run`` wrote.

    Raises
    ------
    StoreError
        If it is not a store of this program.
    """
    return Run(path)
