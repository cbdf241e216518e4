"""A slide and a model folder for commands."""

from pathlib import Path

import numpy as np
import pytest
from command_line import tiff


@pytest.fixture
def model(model_folder_of_classifier: Path) -> Path:
    return model_folder_of_classifier


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    pixels = np.full((300, 330, 3), 240, np.uint8)
    rng = np.random.default_rng(0)
    pixels[60:240, 60:270] = rng.integers(0, 2, (180, 210, 1)) * [60, 110, 30] + [140, 60, 160]
    return tiff(tmp_path / "case.tif", pixels)
