"""ClassMap: the dense prediction of a run, read from its store."""

from __future__ import annotations

from typing import Any

import zarr

from napari_smoothsal.runs.layout import LABELS, NAMESPACE, PREDICTION
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, group_at

Pair = tuple[float, float]


class ClassMap:
    """The class of every pixel, of a model that decides per pixel.

    Attributes
    ----------
    outcomes
        Names of the classes in the order of the labels: label 1 is the first one, 0 was not
        computed.
    background
        The one that means: nothing of interest; None if there is none.
    colours
        Of the outcomes, ``#rrggbb``.
    shape
        (h, w) of level 0 without its padding.
    scale_um, translate_um
        (y, x) of level 0, in micrometres; translate is the centre of pixel (0, 0).
    """

    def __init__(self, root: zarr.Group) -> None:
        self._root = root
        attributes = attributes_of(group_at(root, PREDICTION))
        own = attributes[NAMESPACE]
        self.outcomes: tuple[str, ...] = tuple(own["outcomes"])
        self.background: str | None = own["background"]
        self.colours: tuple[str, ...] = tuple(own["colours"])
        self.shape: tuple[int, int] = (own["shape"][0], own["shape"][1])
        self._datasets = attributes["ome"]["multiscales"][0]["datasets"]
        scale, translation = self._datasets[0]["coordinateTransformations"]
        self.scale_um: Pair = tuple(scale["scale"][1:])
        self.translate_um: Pair = tuple(translation["translation"][1:])

    def __repr__(self) -> str:
        return f"ClassMap({', '.join(self.outcomes)}; {self.shape})"

    @property
    def label_paths(self) -> list[str]:
        """Of the labels' arrays in the store, finest first."""
        return [f"{LABELS}/{dataset['path']}" for dataset in self._datasets]

    @property
    def labels(self) -> list[zarr.Array[Any]]:
        """Label arrays (h, w), finest first: index into ``outcomes`` plus 1, 0 not computed."""
        return [array_at(self._root, path) for path in self.label_paths]

    @property
    def probabilities(self) -> list[zarr.Array[Any]]:
        """Probabilities (classes, h, w) in 8 bits, finest first: 255 is 1."""
        return [array_at(self._root, f"{PREDICTION}/{d['path']}") for d in self._datasets]
