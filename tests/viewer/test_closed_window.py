"""Closing napari in the middle of a slide ends everything, and loses nothing that is written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from napari_smoothsal import explain_slide, load_model, open_run

pytestmark = pytest.mark.gl

AT_ONCE_S = 15.0
"""Of a busy machine; that the slide is not finished meanwhile is seen in its store."""


def test_everything_ends_at_once_and_the_slide_can_be_finished(
    window_of_its_own: Callable[..., subprocess.Popen[bytes]],
    tiff_slide: Path,
    model_folder: Path,
    tmp_path: Path,
) -> None:
    window = window_of_its_own("closed_midway")
    assert window.stdout is not None
    told = json.loads(window.stdout.readline() or b"{}")
    assert told, "the window ended before the slide was being explained"
    processes = [psutil.Process(window.pid), psutil.Process(told["engine"])]
    _, alive = psutil.wait_procs(processes, timeout=AT_ONCE_S)
    assert not alive and window.wait() == 0
    assert Path(told["folder"]).parent == tmp_path / "temp"
    assert not list((tmp_path / "temp").glob("smoothsal*"))
    (store,) = tiff_slide.parent.glob("*.smoothsal.zarr")
    broken_off = open_run(store)
    assert broken_off.status == "running"
    (shown,) = broken_off.maps.values()
    written = np.isfinite(shown.levels[0][:]).any(axis=1)
    assert written[:256].all() and not written[256:].any()

    model, specs = load_model(str(model_folder)), [shown.spec]
    resumed = explain_slide(tiff_slide, model, specs, store, progress=False)
    whole = explain_slide(
        tiff_slide, model, specs, tmp_path / "whole.smoothsal.zarr", progress=False
    )
    assert resumed.status == whole.status == "complete"
    _same(resumed, whole)
    assert {p.name for p in store.parent.glob("*case*")} == {"case.tif", store.name}


def _same(one: Any, other: Any) -> None:
    """Within the rounding of another number of threads."""
    for key, shown in one.maps.items():
        levels = zip(shown.levels, other.maps[key].levels, strict=True)
        for values, expected in ((np.asarray(a[:]), np.asarray(b[:])) for a, b in levels):
            largest = float(np.nanmax(np.abs(expected)))
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * largest)
    assert list(one.tiles["predicted"]) == list(other.tiles["predicted"])
