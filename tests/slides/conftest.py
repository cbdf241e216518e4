"""Small slides made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from slide_pictures import write_tiff


@pytest.fixture
def tiff(tmp_path: Path) -> Callable[..., Path]:
    def write(levels: list[np.ndarray], mpp: tuple[float, float] | None = (0.5, 0.5)) -> Path:
        return write_tiff(tmp_path / "case.tif", levels, mpp)

    return write
