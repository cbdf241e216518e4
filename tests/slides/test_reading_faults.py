"""Faults while a slide is read: a file that vanishes ends the reading, damage stays with a tile."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
from slide_pictures import noise, write_tiff

from napari_smoothsal.core.errors import SlideError, TileReadError
from napari_smoothsal.slides import Box, open_slide
from napari_smoothsal.slides.file_hash import file_sha256, files_of_slide
from napari_smoothsal.slides.reader import TileReader

SAMPLE = Path(__file__).parents[2] / "sample_data" / "sample_slide.tif"
SCRIPT = Path(__file__).parent / "damaged_reading.py"
BATCH = 10
BATCH_S = 280


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSlide as it is once the drive is gone: every handle is dead."""

    def read(*_: object) -> None:
        raise openslide.OpenSlideError("I/O error")

    monkeypatch.setattr(openslide.OpenSlide, "read_region", read)


def test_a_slide_whose_folder_vanishes_ends_the_reading(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    shutil.copy(SAMPLE, folder / "case.tif")
    boxes = [[Box(x, y, 224, 224) for x in range(0, 5000, 224)] for y in range(0, 3000, 224)]
    with (
        open_slide(folder / "case.tif") as slide,
        TileReader(slide, 224, threads=2, prefetch=1) as reader,
    ):
        batches = reader.batches(boxes)
        assert next(batches).errors == (None,) * len(boxes[0])
        shutil.rmtree(folder)
        failing(monkeypatch)
        with pytest.raises(SlideError, match=r"case\.tif: .*repeat the same command") as caught:
            list(batches)
    assert not isinstance(caught.value, TileReadError)
    assert str(tmp_path) not in str(caught.value)


def test_a_slide_that_is_replaced_ends_the_reading(tmp_path: Path, monkeypatch) -> None:
    path = write_tiff(tmp_path / "case.tif", [noise(300, 300)])
    with open_slide(path) as slide:
        write_tiff(path, [noise(400, 300)])
        failing(monkeypatch)
        with pytest.raises(SlideError, match="changed while they were read") as caught:
            slide.read_box(Box(0, 0, 50, 50), (50, 50))
        assert not isinstance(caught.value, TileReadError)
        path.write_bytes(b"something else")
        with pytest.raises(SlideError, match="changed while they were read"):
            slide.read_box(Box(0, 0, 50, 50), (50, 50))


def test_a_tile_of_a_file_that_is_there_is_a_tiles_error(tmp_path: Path, monkeypatch) -> None:
    path = write_tiff(tmp_path / "case.tif", [noise(300, 300)])
    with open_slide(path) as slide:
        failing(monkeypatch)
        with pytest.raises(TileReadError, match="copy it anew"):
            slide.read_box(Box(0, 0, 50, 50), (50, 50))


def read_damaged(slide: Path, folder: Path, first: int, count: int) -> list[str]:
    """What became of each damaged copy, in a process that must end by itself."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(slide), str(folder), str(first), str(count)],
        capture_output=True,
        text=True,
        timeout=BATCH_S,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (
        f"ended with {done.returncode} at seed {first + len(lines)}: {done.stderr[-2000:]}"
    )
    assert len(lines) == count
    return lines


def slide_named(name: str, request: pytest.FixtureRequest) -> Path:
    if name == "sample":
        return SAMPLE
    return Path(request.getfixturevalue("real_slides")) / "CMU-1-Small-Region.svs"


@pytest.mark.parametrize("name", ["sample", "real"])
def test_flipped_bytes_never_end_the_process(name: str, tmp_path: Path, request) -> None:
    lines = read_damaged(slide_named(name, request), tmp_path, 0, 8)
    assert any("read" in line for line in lines)


def test_a_tile_that_is_too_large_to_be_one_never_ends_the_process(tmp_path: Path) -> None:
    # This seed flips a byte of a tile's height, which becomes a thousand million.
    assert read_damaged(SAMPLE, tmp_path, 361, 1) == ["361 refused"]


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", ["sample", "real"])
def test_flipped_bytes_in_500_slides(name: str, tmp_path: Path, request) -> None:
    slide = slide_named(name, request)
    for first in range(0, 500, BATCH):
        read_damaged(slide, tmp_path, first, BATCH)


def test_the_hash_of_one_file_is_the_files(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = file_sha256(SAMPLE, lambda done, total: told.append((done, total)))
    assert found == hashlib.sha256(SAMPLE.read_bytes()).hexdigest()
    assert told[-1] == (SAMPLE.stat().st_size,) * 2 and told == sorted(told)
    copy = shutil.copy(SAMPLE, tmp_path / "other name.tif")
    assert file_sha256(copy) == found
    whole = bytearray(SAMPLE.read_bytes())
    whole[len(whole) // 2] ^= 1
    copy.write_bytes(whole)
    assert file_sha256(copy) != found
    with pytest.raises(SlideError, match=r"gone\.svs: .*cannot be read"):
        file_sha256(tmp_path / "gone.svs")


def test_the_hash_is_of_all_files_that_belong_to_a_slide(tmp_path: Path) -> None:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    mirax = write("case.mrxs", b"index")
    write("case/Data0000.dat", b"pixels")
    write("case/Slidedat.ini", b"words")
    write("case.txt", b"notes")
    assert [f.name for f in files_of_slide(mirax)] == ["case.mrxs", "Data0000.dat", "Slidedat.ini"]
    before = file_sha256(mirax)
    # A byte that moves from one file to the next is seen.
    write("case/Data0000.dat", b"pixel")
    write("case/Slidedat.ini", b"swords")
    assert file_sha256(mirax) != before

    hamamatsu = write("a.vms", b"[Virtual Microscope Specimen]\nImageFile=a(1,0).jpg\nMap=m.jpg\n")
    write("a(1,0).jpg", b"1")
    write("m.jpg", b"2")
    write("b(1,0).jpg", b"3")
    assert [f.name for f in files_of_slide(hamamatsu)] == ["a(1,0).jpg", "a.vms", "m.jpg"]


def test_the_hash_of_a_dicom_slide_is_the_same_by_folder_and_file(
    real_slides: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "slide"
    shutil.copytree(real_slides / "CMU-1-Small-Region-dicom", folder, copy_function=shutil.copyfile)
    file = sorted(folder.glob("*.dcm"))[1]
    found = file_sha256(folder)
    assert file_sha256(file) == found
    whole = bytearray(file.read_bytes())
    whole[-100] ^= 1
    file.write_bytes(whole)
    assert file_sha256(folder) != found


def test_pixels_are_the_same_after_a_tile_failed(tmp_path: Path, monkeypatch) -> None:
    image = noise(600, 600)
    path = write_tiff(tmp_path / "case.tif", [image])
    with open_slide(path) as slide:
        with monkeypatch.context() as broken:
            failing(broken)
            with pytest.raises(TileReadError):
                slide.read_box(Box(0, 0, 50, 50), (50, 50))
        assert np.array_equal(slide.read_box(Box(0, 0, 50, 50), (50, 50)), image[:50, :50])
