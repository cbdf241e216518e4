"""Runs of slides that are damaged in places: tiles, pictures, exit codes."""

import errno
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import smoothsal
from PIL import Image

from napari_smoothsal import open_run
from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.render.figure import DARK_GREY


@pytest.fixture
def damaged(slide: Path, tmp_path: Path) -> Path:
    """The slide as JPEG, of which one tile is nothing but zeros."""
    path = tmp_path / "jpeg.tif"
    with tifffile.TiffFile(slide) as source, tifffile.TiffWriter(path) as writer:
        writer.write(
            source.asarray(), tile=(64, 64), photometric="rgb", compression="jpeg",
            resolution=(2e4, 2e4), resolutionunit="CENTIMETER",
        )  # fmt: skip
    with tifffile.TiffFile(path) as written:
        page = written.pages[0]
        at, size = page.dataoffsets[14], page.databytecounts[14]
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_tile_is_listed_with_exit_1(damaged: Path, model: Path, tmp_path: Path) -> None:
    out, picture = tmp_path / "s.zarr", tmp_path / "p.png"
    result = smoothsal(
        "run", damaged, "--model", model, "--layer", "layer1", "--out", out, "--samples", 0,
        "--picture", picture,
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    assert "could not be read" in result.output and " failed; predicted" in result.output
    assert f"picture: {picture}" in result.output
    with Image.open(picture) as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    # On the slide's panel as dark as nothing else of it, and as plain.
    assert (pixels == DARK_GREY).all(axis=-1).mean() > 0.005
    info = smoothsal("info", damaged)
    assert info.exit_code == 0 and "cannot be read" in info.output
    assert open_run(out).status == "complete_with_errors"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left", "/deep/p.png"),
            "p.png was not made: No space left",
        ),
        (SlideError("the slide has vanished"), "was not made: the slide has vanished"),
        (ValueError("a bug"), None),
    ],
)
def test_a_run_is_told_before_its_picture_fails(
    slide: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error, said
) -> None:
    def failing(*_given: object) -> None:
        raise error

    monkeypatch.setattr("napari_smoothsal.render.figure.run_figure", failing)
    result = smoothsal(
        "run", slide, "--model", model, "--layer", "layer1", "--out", tmp_path / "s.zarr",
        "--samples", 0, "--picture", tmp_path / "p.png",
    )  # fmt: skip
    assert result.exit_code == 1 and "store: " in result.output, result.output
    assert "drop the store into napari" in result.output and "picture: " not in result.output
    if said is None:
        assert result.exception is error  # nothing that anybody could mend: with its traceback
    else:
        assert said in result.output and "/deep" not in result.output
        assert result.output.index("store: ") < result.output.index("error: --picture p.png")
