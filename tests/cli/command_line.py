"""The command line, in this process."""

from pathlib import Path

import numpy as np
import tifffile
from click.testing import Result
from typer.testing import CliRunner

from napari_smoothsal.cli import registered


def smoothsal(*arguments: object) -> Result:
    return CliRunner().invoke(registered(), [str(a) for a in arguments])


def refused(tmp_path: Path, *arguments: object) -> str:
    """What ``evaluate`` says of bad input; nothing may be written."""
    out = tmp_path / "nothing"
    result = smoothsal("evaluate", *arguments, "--out", out)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output and not out.exists()
    return result.output


def tiff(path: Path, pixels: np.ndarray, mpp: float | None = 0.5) -> Path:
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            pixels,
            tile=(64, 64),
            photometric="rgb",
            resolution=None if mpp is None else (1e4 / mpp, 1e4 / mpp),
            resolutionunit=None if mpp is None else "CENTIMETER",
        )
    return path
