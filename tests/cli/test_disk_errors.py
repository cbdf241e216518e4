"""What a disk that refuses a store is said to have done, and what is to be done about it."""

import errno
from pathlib import Path

import pytest

from napari_smoothsal.cli.disk_errors import unwritable
from napari_smoothsal.core.errors import SettingError

STORE = Path("/data/deep/out/x.zarr")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.EROFS, "that you may write into"), (errno.ENOSPC, "make room there")],
)
@pytest.mark.parametrize("file", [None, "/data/deep/out/.x.zarr.lock", "/data/deep"])
def test_the_folder_and_the_remedy_are_named(code: int, remedy: str, file: str | None) -> None:
    said = str(unwritable(OSError(code, "Refused", file), STORE))
    assert said.startswith("Refused: 'x.zarr' cannot be written into the folder 'out'; ")
    assert remedy in said and "--out" in said and "lock" not in said and "/" not in said


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied", "/slides/case.svs"),
        OSError(errno.EIO, "Input/output error", "/data/deep/out/x.zarr"),
        SettingError("layer = 'x'"),
    ],
)
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    assert unwritable(error, STORE) is None
