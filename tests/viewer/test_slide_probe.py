"""Slides are tried in a process that may die before napari's own opens them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from viewer_pictures import tissue, write_tiff

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer import slide_layer, slide_probe
from napari_smoothsal.viewer.readers import read_slides
from napari_smoothsal.viewer.samples import sample_slide

CRASH = "import os, signal; os.kill(os.getpid(), signal.{})"


@pytest.fixture
def opened_here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Slides that this process opens."""
    opened: list[Path] = []
    open_slide = slide_layer.open_slide
    monkeypatch.setattr(
        slide_layer, "open_slide", lambda path: opened.append(Path(path)) or open_slide(path)
    )
    return opened


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("name", "told"),
    [("SIGSEGV", r"crashed its decoder \(SIGSEGV\)"), ("SIGKILL", "because memory ran out")],
)
def test_a_crash_is_told_and_the_slide_not_opened_here(
    tiff_slide: Path,
    opened_here: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    told: str,
) -> None:
    monkeypatch.setattr(slide_probe, "COMMAND", CRASH.format(name))
    with pytest.raises(SlideError, match=f"case.tif: .*{told}.* was not opened here"):
        read_slides(str(tiff_slide))
    assert opened_here == []
    # What killed a process once is not taken for harmless the next time.
    with pytest.raises(SlideError):
        read_slides(str(tiff_slide))


def test_a_decoder_that_hangs_is_ended(
    tiff_slide: Path, opened_here: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_probe, "COMMAND", "import time; time.sleep(60)")
    monkeypatch.setattr(slide_probe, "LIMIT_S", 0.5)
    start = time.monotonic()
    with pytest.raises(SlideError, match=r"more than 0.5 s in a process of its own"):
        read_slides(str(tiff_slide))
    assert time.monotonic() - start < 10 and opened_here == []


def test_an_error_of_the_other_process_is_told_by_its_last_line(
    tiff_slide: Path, opened_here: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_probe, "COMMAND", "raise RuntimeError('no such codec')")
    with pytest.raises(SlideError, match=r"failed with code 1 \(RuntimeError: no such codec\)"):
        read_slides(str(tiff_slide))
    assert opened_here == []


def test_a_truncated_slide_is_refused_in_the_readers_own_words(
    tiff_slide: Path, tmp_path: Path, opened_here: list[Path]
) -> None:
    cut = tmp_path / "K\u00e4fer \u2014 cut.tif"
    cut.write_bytes(tiff_slide.read_bytes()[: tiff_slide.stat().st_size // 2])
    with pytest.raises(SlideError, match=r"^K\u00e4fer \u2014 cut.tif: .*(cut short|damaged)"):
        read_slides(str(cut))
    with pytest.raises(SlideError, match="no such file"):
        read_slides(str(tmp_path / "gone.svs"))
    assert opened_here == []


def test_a_slide_is_tried_once_and_again_when_its_file_changed(
    tiff_slide: Path, opened_here: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    popen = slide_probe.subprocess.Popen
    monkeypatch.setattr(
        slide_probe.subprocess, "Popen", lambda *a, **k: started.append(1) or popen(*a, **k)
    )
    for _ in range(2):
        read_slides(str(tiff_slide))
    assert len(started) == 1 and len(opened_here) == 2
    write_tiff(tiff_slide, tissue(600, 900, seed=1))
    read_slides(str(tiff_slide))
    assert len(started) == 2


def test_the_sample_slide_is_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide_probe, "COMMAND", "raise SystemExit(7)")
    monkeypatch.setattr(slide_probe, "_PROBED", set())
    with pytest.raises(SlideError, match="failed with code 7"):
        sample_slide()


def test_every_level_is_read_the_coarsest_first_and_damage_is_no_refusal() -> None:
    reads: list[tuple[int, int, int, int, int]] = []

    class Damaged(ArraySlide):
        def read_region(self, x: int, y: int, w: int, h: int, level: int = 0) -> NDArray[np.uint8]:
            reads.append((x, y, w, h, level))
            if level == 1:
                raise TileReadError("cannot be decoded")
            return super().read_region(x, y, w, h, level)

    picture = tissue(1600, 2400)
    levels: list[Any] = [picture, picture[::2, ::2], picture[::4, ::4]]
    slide_probe.read_a_little(Damaged(levels, bounds=(1400, 600, 800, 800)))
    assert [read[4] for read in reads] == [2, 1, 0]
    assert reads[0][2:4] == (600, 400)  # all of it
    x, y, w, h, _ = reads[2]
    assert (x + w / 2, y + h / 2) == (1800, 1000)  # the middle of what was scanned
