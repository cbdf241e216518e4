"""Runs that the tests of this folder share: small specs on small slides."""

from pathlib import Path

import numpy as np
import zarr

from napari_smoothsal import (
    SaliencySpec,
    Tiling,
    explain_slide,
)
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.zarr_io import open_root

ALL = Tiling(tissue="all")


SPECS = [
    SaliencySpec(layer="layer1", method="gradient", denoising="original", samples=2),
    SaliencySpec(layer="layer2", method="gradient", samples=2),
    SaliencySpec(layer="layer2", samples=2, method="activation_x_gradient"),
]


def explained(slide, model, out: Path | str, specs=SPECS, **settings) -> Run:
    settings = {"tiling": ALL, "progress": False, **settings}
    return explain_slide(slide, model, specs, out, **settings)


def small_bands(monkeypatch, coarsest_px: int = 32) -> None:
    """Bands of 16 rows and levels down to 32 px, so that a small slide has several of both."""
    monkeypatch.setattr("napari_smoothsal.runs.layout.BAND", 16)
    monkeypatch.setattr("napari_smoothsal.runs.layout.COARSEST_PX", coarsest_px)


def arrays(run: Run) -> dict[str, np.ndarray]:
    root = open_root(run.path, "r")
    return {
        path: node[:] for path, node in root.members(max_depth=None) if isinstance(node, zarr.Array)
    }


def notes(run: Run) -> dict[str, object]:
    """What is recorded beside each map."""
    root = open_root(run.path, "r")
    return {key: root[f"maps/{key}"].attrs["smoothsal"] for key in run.maps}


def assert_same_bits(one: Run, two: Run) -> None:
    a, b = arrays(one), arrays(two)
    assert a.keys() == b.keys()
    for path in one.maps:
        assert notes(one)[path] == notes(two)[path], path
    for path, values in a.items():
        assert values.tobytes() == b[path].tobytes(), path
