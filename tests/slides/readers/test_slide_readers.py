"""Other readers than OpenSlide: the same pixels, the same errors, and URLs."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slide_pictures import halved, noise, write_tiff

from napari_smoothsal.core.errors import (
    SettingError,
    SlideError,
    TileReadError,
    UnknownNameError,
)
from napari_smoothsal.core.urls import is_url, label_of_url
from napari_smoothsal.slides import ArraySlide, Box, open_slide
from napari_smoothsal.slides.reader import TileReader
from napari_smoothsal.slides.readers import READERS, base

SAMPLE = Path(__file__).parents[3] / "sample_data" / "sample_slide.tif"
OTHERS = [name for name in READERS if name != "openslide"]


@pytest.fixture(params=OTHERS)
def reader(request) -> str:
    if request.param == "cucim" and "cucim" not in sys.modules:
        pytest.skip("cuCIM must come before torch: python -c 'import cucim, pytest; pytest.main()'")
    pytest.importorskip(request.param, reason="an optional package")
    return request.param


@pytest.fixture
def tiffslide() -> str:
    pytest.importorskip("tiffslide", reason="an optional package")
    return "tiffslide"


@pytest.mark.parametrize("which", ["sample", "real"])
def test_pixels_and_what_is_said_are_openslides(which: str, reader: str, request) -> None:
    path = SAMPLE
    if which == "real":
        path = request.getfixturevalue("real_slides") / "CMU-1-Small-Region.svs"
    with open_slide(path) as ours, open_slide(path, reader=reader) as other:
        for name in ("name", "level_dimensions", "mpp", "bounds", "background"):
            assert getattr(other, name) == getattr(ours, name), name
        assert ours.reader is None and other.reader.startswith(f"{reader} ")
        rng = np.random.default_rng(0)
        for level, (w, h) in enumerate(ours.level_dimensions):
            d = int(ours.level_downsamples[level])
            for x, y in rng.integers(-100, (w, h), (6, 2)).tolist():
                one = ours.read_region(x * d, y * d, 200, 150, level).astype(int)
                two = other.read_region(x * d, y * d, 200, 150, level).astype(int)
                # Decoders of JPEG may round otherwise.
                assert np.abs(one - two).max() <= 3 and np.abs(one - two).mean() < 0.5
        box = Box(301.3, 402.8, 448.7, 451.1)
        one, two = ours.read_box(box, (224, 224)), other.read_box(box, (224, 224))
        assert np.abs(one.astype(int) - two.astype(int)).max() <= 3
        with pytest.raises(SlideError, match="level 9"):
            other.read_region(0, 0, 5, 5, 9)
        other.close()
        with pytest.raises(SlideError, match="closed"):
            other.read_box(box, (224, 224))


def test_a_level_of_a_fractional_downsample_is_read_where_it_lies(reader, tmp_path: Path) -> None:
    image = noise(801, 1001)
    levels = [image, halved(image), halved(halved(image))]
    path = tmp_path / "odd.tif"
    with tifffile.TiffWriter(path) as writer:
        for i, level in enumerate(levels):
            writer.write(
                level, tile=(128, 128), photometric="rgb", compression="deflate",
                subfiletype=1 if i else 0,
            )  # fmt: skip
    expected = ArraySlide(levels, mpp=(0.5, 0.5))

    with open_slide(path, mpp=0.5, reader=reader) as slide:
        assert not slide.level_downsamples[1].is_integer()

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.floats(-20, 900), st.floats(-20, 700), st.floats(1.9, 5))
        def check(x: float, y: float, d: float) -> None:
            box = Box(x, y, 32 * d, 32 * d)
            assert np.array_equal(slide.read_box(box, (32, 32)), expected.read_box(box, (32, 32)))

        check()


def test_grey_slides_are_read(tiffslide: str, tmp_path: Path) -> None:
    image = noise(300, 300)[..., 0]
    tifffile.imwrite(tmp_path / "grey.tif", image, tile=(64, 64), photometric="minisblack")
    with open_slide(tmp_path / "grey.tif", reader=tiffslide) as slide:
        got = slide.read_region(10, 20, 30, 40)
        assert np.array_equal(got, np.repeat(image[20:60, 10:40, None], 3, axis=2))
    tifffile.imwrite(tmp_path / "deep.tif", image.astype(np.uint16), tile=(64, 64))
    with pytest.raises(SlideError, match=r"deep\.tif: .*uint16.*8-bit"):
        open_slide(tmp_path / "deep.tif", reader=tiffslide)


def test_a_tile_that_cannot_be_decoded_is_told(tiffslide: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.tif"
    image = noise(512, 512)
    tifffile.imwrite(path, image, tile=(64, 64), photometric="rgb", compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[2 * 8 + 3], page.databytecounts[2 * 8 + 3]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
    with open_slide(path, mpp=0.5, reader=tiffslide) as slide:
        with pytest.raises(TileReadError, match=r"broken.*copy it anew"):
            slide.read_box(Box(200, 140, 20, 20), (20, 20))
        near = slide.read_box(Box(130, 64, 60, 60), (60, 60))
        assert np.array_equal(near, image[64:124, 130:190])


def test_no_slide_and_no_file(reader: str, tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"gone\.svs: there is no such file"):
        open_slide(tmp_path / "gone.svs", reader=reader)
    (tmp_path / "notes.svs").write_text("not a slide\n" * 500)
    with pytest.raises(SlideError, match=r"notes\.svs: "):
        open_slide(tmp_path / "notes.svs", reader=reader)


def test_urls_are_read_by_tiffslide(tiffslide: str, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://folder/case 1.tif", "wb") as file:
        file.write(SAMPLE.read_bytes())
    with zipfile.ZipFile(tmp_path / "slides.zip", "w") as archive:
        archive.write(SAMPLE, "case 2.tif")
    boxes = [[Box(x, y, 224, 224) for x in range(2000, 3000, 224)] for y in (900, 1124)]
    with open_slide(SAMPLE) as slide, TileReader(slide, 224, threads=2) as tiles:
        expected = np.concatenate([batch.images for batch in tiles.batches(boxes)])
    urls = {
        "case 1": "memory://folder/case 1.tif",
        "case 2": f"zip://case 2.tif::{tmp_path / 'slides.zip'}",
        "sample_slide": f"local://{SAMPLE}",
    }
    fingerprints = set()
    for name, url in urls.items():
        with open_slide(url) as slide, TileReader(slide, 224, threads=2) as tiles:
            assert slide.name == name and slide.reader.startswith("tiffslide ")
            got = np.concatenate([batch.images for batch in tiles.batches(boxes)])
            assert np.abs(got.astype(int) - expected).max() <= 3
            fingerprints.add(slide.fingerprint)
    assert len(fingerprints) == 1, "the same file, wherever it lies"
    with open_slide(SAMPLE.as_uri()) as slide:
        assert slide.reader is None, "a file is a file"
    with pytest.raises(SlideError, match=r"gone\.tif: there is no such file"):
        open_slide("memory://gone.tif")
    with pytest.raises(SlideError, match=r"a\.svs"):
        open_slide("nonsense://me:secret@host/a.svs?token=secret")


def test_a_url_that_goes_away_ends_the_reading(tiffslide: str) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/case.tif", SAMPLE.read_bytes())
    with open_slide("memory://case.tif") as slide:
        slide.read_box(Box(0, 0, 50, 50), (50, 50))
        memory.rm("/case.tif")

        def gone(*_: object, **__: object) -> None:
            raise OSError("connection lost")

        slide._slide.read_region = gone
        with pytest.raises(SlideError, match="goes on from where it is") as caught:
            slide.read_box(Box(2000, 2000, 50, 50), (50, 50))
        assert not isinstance(caught.value, TileReadError)


def test_what_is_a_url_and_what_may_be_said_of_it() -> None:
    for url in ("s3://bucket/a.svs", "zip://a.svs::b.zip", "simplecache::s3://b/a.svs"):
        assert is_url(url)
    for path in ("/a/b.svs", "a.svs", "C:\\slides\\a.svs", "C://slides/a.svs", "a b://c"):
        assert not is_url(path)
    assert label_of_url("s3://user:key@host/deep/a.svs?sig=1#2") == "a.svs"
    assert label_of_url("zip://a.svs::/home/b.zip") == "a.svs"
    assert label_of_url("simplecache::s3://bucket/b.svs") == "b.svs"
    assert label_of_url("s3://user:key@host") == "host"


def test_unknown_missing_and_unsuited_readers_say_what_to_do(tmp_path: Path, monkeypatch) -> None:
    path = write_tiff(tmp_path / "a.tif", [noise(70, 70)])
    with pytest.raises(UnknownNameError, match="tiffslide"):
        open_slide(path, reader="tifslide")
    with pytest.raises(SettingError, match=r"a\.tif: reader 'cucim' reads files, no URLs"):
        open_slide("memory://a.tif", reader="cucim")

    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(base, "import_module", missing)
    monkeypatch.delitem(sys.modules, "torch")
    for name, extra in (("tiffslide", "readers"), ("cucim", "cucim")):
        with pytest.raises(SettingError, match=rf"pip install 'napari-smoothsal\[{extra}\]'"):
            open_slide(path, reader=name)
    assert open_slide(path).reader is None


def test_cucim_is_not_loaded_after_torch(tmp_path: Path, monkeypatch) -> None:
    """Its own import would then never return."""
    monkeypatch.delitem(sys.modules, "cucim", raising=False)
    monkeypatch.setattr(
        "napari_smoothsal.slides.readers.cucim_reader.find_spec", lambda _: object()
    )
    path = write_tiff(tmp_path / "a.tif", [noise(70, 70)])
    with pytest.raises(SettingError, match="import cucim before torch"):
        open_slide(path, reader="cucim")


def test_a_file_that_vanishes_ends_the_reading(reader: str, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    shutil.copy(SAMPLE, folder / "case.tif")
    with open_slide(folder / "case.tif", reader=reader) as slide:
        shutil.rmtree(folder)

        class Lost:
            def read_region(self, *_: object, **__: object) -> None:
                raise OSError("no such device")

        slide._slide = slide._image = Lost()
        with pytest.raises(SlideError, match="cannot be reached any more") as caught:
            slide.read_box(Box(2000, 2000, 50, 50), (50, 50))
        assert not isinstance(caught.value, TileReadError)
