"""Small slides made on the spot, and the real ones where SMOOTHSAL_DATA says where they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from slide_pictures import write_tiff

GET_DATA = (
    "set SMOOTHSAL_DATA to a folder with CMU-1-Small-Region.svs and the folder "
    "CMU-1-Small-Region-dicom (CC0): "
    "https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/CMU-1-Small-Region.svs"
)


@pytest.fixture
def tiff(tmp_path: Path) -> Callable[..., Path]:
    def write(levels: list[np.ndarray], mpp: tuple[float, float] | None = (0.5, 0.5)) -> Path:
        return write_tiff(tmp_path / "case.tif", levels, mpp)

    return write


@pytest.fixture(scope="session")
def real_slides() -> Iterator[Path]:
    folder = os.environ.get("SMOOTHSAL_DATA")
    if not folder or not (Path(folder) / "CMU-1-Small-Region.svs").exists():
        pytest.skip(GET_DATA)
    yield Path(folder)
