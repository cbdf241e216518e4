"""The docks with the other Qt: a user may have napari on PySide6."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.gl,
    pytest.mark.skipif(find_spec("PySide6") is None, reason="PySide6 is not installed"),
]


def test_the_docks_open_explain_and_close_on_pyside6(
    window_of_its_own: Callable[..., subprocess.Popen[bytes]], tiff_slide: Path
) -> None:
    # In a process of its own: two Qt libraries in one do not get along.
    window = window_of_its_own("docks_and_a_view", QT_API="pyside6")
    output, _ = window.communicate(timeout=120)
    assert window.returncode == 0
    told = json.loads(output)  # and no traceback beside it
    assert told["qt"] == "pyside6"
    assert told["layers"][1:] == [
        "layer2 | centred hook | activation x gradient | supports tumour / speaks against (view)"
    ]
    explained, measured, predicted = told["said"]
    assert explained.startswith("Done.")
    assert measured.startswith("This view: ") and "tiles: " in predicted
    pictures = {path.stem for path in tiff_slide.parent.glob("*.png")}
    assert pictures == {"TotalVariationDock", "PredictionsDock"}
    assert not psutil.pid_exists(told["engine"])
