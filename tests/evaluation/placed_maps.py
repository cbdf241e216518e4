"""Runs that exist only as arrays, and outlines whose areas are known, for tests of localisation."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import shapely

from napari_smoothsal import SaliencySpec
from napari_smoothsal.evaluation.nuclei import Nuclei
from napari_smoothsal.slides.outlines import Outlines


@dataclass
class ArrayMap:
    """Values (h, w) with the placement that a store would say."""

    values: np.ndarray
    scale_um: tuple[float, float]
    translate_um: tuple[float, float]
    target: str = "tumour"
    spec: SaliencySpec = field(default_factory=lambda: SaliencySpec(layer="layer1"))

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    @property
    def levels(self) -> list[np.ndarray]:
        # Stores pad their levels; what lies beyond the shape must not be looked at.
        return [np.pad(self.values, ((0, 3), (0, 1)), constant_values=1e9)]


def array_run(maps: dict[str, ArrayMap], size: tuple[int, int], mpp: float = 0.5):
    """A run of maps on a slide of (width, height)."""
    slide = {"width": size[0], "height": size[1]}
    provenance = {"slide": slide, "model": {"name": "painted"}}
    return SimpleNamespace(maps=maps, mpp=(mpp, mpp), provenance=provenance)


def outlines(**shapes: list[shapely.Polygon]) -> Outlines:
    """Outlines in level-0 px; ``tumour_nucleus=[...]`` are of class ``tumour nucleus``."""
    named = [(n.replace("_", " "), shape) for n, group in shapes.items() for shape in group]
    array = np.empty(len(named), object)
    array[:] = [shape for _, shape in named]
    names = np.array([name for name, _ in named])
    return Outlines(array, names, np.full(len(named), ""), "truth.geojson")


def nuclei(of_class: list, others: list = ()) -> Nuclei:
    """Nuclei in micrometres."""
    shapes = np.empty(len(of_class) + len(others), object)
    shapes[:] = [*of_class, *others]
    flags = np.arange(len(shapes)) < len(of_class)
    return Nuclei(shapes, flags, "tumour nucleus", ("normal nucleus",))


def squares(rng: np.random.Generator, size: int, side: int, cell: int) -> list[shapely.Polygon]:
    """One square with its edges on whole level-0 px in about half of the cells of a grid."""
    corners = [
        (x + rng.integers(0, cell - side), y + rng.integers(0, cell - side))
        for y in range(0, size - cell + 1, cell)
        for x in range(0, size - cell + 1, cell)
        if rng.random() < 0.5
    ]
    return [shapely.box(x, y, x + side, y + side) for x, y in corners]
