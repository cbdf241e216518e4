"""Trying a slide in a process of its own before napari's process opens it.

Slides are decoded by native code, which a damaged or hostile file may crash; in napari's process
that would take all unsaved work along. So a process that may die opens each file first and reads a
little of every level, by the code that will read it here. It is started as the engine is (see
`engine`), does not import torch, and takes some tenths of a second. What it cannot know are the
tiles that it did not read.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides import Slide, open_slide
from napari_smoothsal.viewer.display_colours import correction

COMMAND = "from napari_smoothsal.viewer.slide_probe import main; main()"
LIMIT_S = 30.0
"""Longer than a slide with many files takes on a slow share; a decoder that hangs takes forever."""

COARSEST_PX = 2048
"""Side of what is read of the coarsest level, which napari shows first, and whole."""
FINER_PX = 512

REFUSED = 3
"""Exit code where the slide cannot be opened; the reason is on standard output."""

_PROBED: set[tuple[Path, int, int]] = set()


def probe_slide(path: Path, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Return where a slide can be opened without harm; a file that has not changed is tried once.

    Parameters
    ----------
    path
        Of the slide.
    meanwhile
        What is useful to do while it is tried.

    Raises
    ------
    SlideError
        Where it is no slide, damaged, or its decoder crashes or hangs.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SlideError(f"{path.name}: there is no such file") from error
    known = (path.absolute(), status.st_size, status.st_mtime_ns)
    if known in _PROBED:
        return
    try:
        tried = _tried(path, meanwhile)
    except subprocess.TimeoutExpired as error:
        raise SlideError(
            f"{path.name}: opening it took more than {LIMIT_S:g} s in a process of its own, so it "
            "was not opened here; copy the file to this computer, or copy it anew"
        ) from error
    if tried.returncode == REFUSED:
        raise SlideError(tried.stdout.decode(errors="replace"))
    if tried.returncode != 0:
        raise SlideError(f"{path.name}: {_death_in_words(tried)}")
    _PROBED.add(known)


def _tried(path: Path, meanwhile: Callable[[], None]) -> subprocess.CompletedProcess[bytes]:
    # -P: a file named numpy.py where napari was started must not be imported.
    command = [sys.executable, "-P", "-X", "utf8", "-c", COMMAND, str(path)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    ) as process:
        try:
            meanwhile()
            said, log = process.communicate(timeout=LIMIT_S)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, log)


def main() -> None:
    """Try the slide that the command line names: the process that may die."""
    try:
        with open_slide(sys.argv[1]) as slide:
            read_a_little(slide)
    except SlideError as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        sys.stdout.flush()
        sys.exit(REFUSED)


def read_a_little(slide: Slide) -> None:
    """Read the middle of every level, the coarsest first, as it will be shown.

    What cannot be decoded is no reason against a slide: it is shown in grey.
    """
    correct = correction(slide.colour_profile)
    left, top, width, height = slide.bounds
    last = len(slide.level_dimensions) - 1
    for level in range(last, -1, -1):
        side = COARSEST_PX if level == last else FINER_PX
        w, h = (min(side, size) for size in slide.level_dimensions[level])
        downsample = slide.level_downsamples[level]
        x = max(0, round(left + (width - w * downsample) / 2))
        y = max(0, round(top + (height - h * downsample) / 2))
        with contextlib.suppress(TileReadError):
            pixels = slide.read_region(x, y, w, h, level)
            if correct is not None:
                correct(pixels[:FINER_PX, :FINER_PX])


def _death_in_words(tried: subprocess.CompletedProcess[bytes]) -> str:
    code = tried.returncode
    if code == -getattr(signal, "SIGKILL", 0):
        cause = "opening it was killed (SIGKILL), most often because memory ran out"
    elif code < 0 or code >= 0xC0000000:  # a signal; on Windows a status such as 0xC0000005
        name = signal.Signals(-code).name if code < 0 else f"{code:#x}"
        cause = f"it crashed its decoder ({name})"
    else:
        last = tried.stderr.decode(errors="replace").strip().splitlines()
        cause = f"opening it failed with code {code}" + (f" ({last[-1]})" if last else "")
    return (
        f"{cause} in a process of its own, so it was not opened here; copy the file anew, or "
        "convert it to a tiled pyramidal TIFF"
    )
