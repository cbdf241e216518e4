"""Opening: what is a slide, what is not, what a broken one does, and what is kept private."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from slide_pictures import halved, noise, write_tiff

from napari_smoothsal.core.errors import (
    MissingResolutionError,
    SettingError,
    SlideError,
    TileReadError,
)
from napari_smoothsal.slides import open_slide
from napari_smoothsal.slides.dicom import slide_file_in
from napari_smoothsal.slides.info import describe
from napari_smoothsal.slides.openslide_slide import over_background
from napari_smoothsal.slides.tissue import find_tissue


def test_transparency_is_composed_over_the_background() -> None:
    region = Image.new("RGBA", (3, 1))
    region.putdata([(0, 0, 0, 0), (10, 20, 30, 255), (100, 100, 100, 51)])
    got = over_background(region, (250, 200, 150))
    assert got[0, 0].tolist() == [250, 200, 150], "black glass"
    assert got[0, 1].tolist() == [10, 20, 30]
    assert np.abs(got[0, 2].astype(int) - [220, 180, 140]).max() <= 1


class Properties:
    """Gives OpenSlide properties that no format which can be written here has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
        real = openslide.OpenSlide.properties.fget
        names = {key.replace("_", "-"): value for key, value in changed.items()}

        def properties(handle: openslide.OpenSlide) -> dict[str, str]:
            return dict(real(handle)) | {f"openslide.{k}": v for k, v in names.items()}

        monkeypatch.setattr(openslide.OpenSlide, "properties", property(properties))


def test_resolution_is_a_y_x_pair(tiff) -> None:
    slide = open_slide(tiff([noise(100, 100)], mpp=(0.25, 0.26)))
    assert slide.mpp == pytest.approx((0.25, 0.26), rel=1e-4)
    assert slide.require_mpp() == slide.mpp


def test_resolution_given_by_the_user_wins(tiff) -> None:
    path = tiff([noise(100, 100)])
    assert open_slide(path, mpp=0.3).mpp == (0.3, 0.3)
    assert open_slide(path, mpp=(0.3, 0.4)).mpp == (0.3, 0.4)
    assert open_slide(str(path), mpp=1).require_mpp() == (1.0, 1.0)


@pytest.mark.parametrize("mpp", [0, -0.5, float("nan"), float("inf"), (0.5, 0), (1, 2, 3)])
def test_impossible_resolution_is_refused(tiff, mpp) -> None:
    with pytest.raises(SettingError, match="level 0"):
        open_slide(tiff([noise(100, 100)]), mpp=mpp)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "", "unknown", "0.0001", "352.8"])
def test_a_resolution_that_cannot_be_is_none(tiff, monkeypatch, text: str) -> None:
    path = tiff([noise(100, 100)])
    Properties(monkeypatch, mpp_x=text)
    with open_slide(path) as slide:
        assert slide.mpp is None
        with pytest.raises(MissingResolutionError, match=r"case.*--mpp"):
            slide.require_mpp()


def test_missing_resolution_opens_and_fails_when_needed(tiff) -> None:
    with open_slide(tiff([noise(100, 100)], mpp=None)) as slide:
        assert slide.mpp is None
        with pytest.raises(MissingResolutionError):
            slide.require_mpp()


def test_bounds_and_background_come_from_the_file(tiff, monkeypatch) -> None:
    path = tiff([noise(100, 120)])
    Properties(
        monkeypatch,
        bounds_x="10",
        bounds_y="20",
        bounds_width="50",
        bounds_height="500",
        background_color="FAEBD7",
    )
    with open_slide(path) as slide:
        assert slide.bounds == (10, 20, 50, 80), "cut to the canvas"
        assert slide.background == (0xFA, 0xEB, 0xD7)
        assert slide.read_region(-1, 0, 1, 1)[0, 0].tolist() == [0xFA, 0xEB, 0xD7]


@pytest.mark.parametrize("colour", ["", "12", "zz0000", "ffffffff"])
def test_an_unreadable_background_is_white(tiff, monkeypatch, colour: str) -> None:
    path = tiff([noise(100, 120)])
    Properties(monkeypatch, background_color=colour)
    assert open_slide(path).background == (255, 255, 255)


def test_fingerprint_survives_renaming_and_tells_slides_apart(tmp_path: Path) -> None:
    image = noise(100, 100)
    a = open_slide(write_tiff(tmp_path / "a.tif", [image]))
    b = open_slide(write_tiff(tmp_path / "patient name.tif", [image]))
    c = open_slide(write_tiff(tmp_path / "c.tif", [noise(100, 100, seed=1)]))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert len(a.fingerprint) == 64


def test_fingerprint_without_quickhash_is_over_size_and_ends(tiff, monkeypatch) -> None:
    path = tiff([noise(100, 100)])
    with_hash = open_slide(path).fingerprint
    Properties(monkeypatch, quickhash_1="")
    assert open_slide(path).fingerprint not in (with_hash, "")


def test_no_such_file_and_no_slide_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"gone\.svs: there is no such file"):
        open_slide(tmp_path / "gone.svs")
    text = tmp_path / "notes.svs"
    text.write_text("not a slide\n" * 500)
    with pytest.raises(SlideError, match=r"notes\.svs.*supported.*SVS") as caught:
        open_slide(text)
    assert str(tmp_path) not in str(caught.value), "a path in a message ends up in logs"
    (tmp_path / "empty.svs").touch()
    with pytest.raises(SlideError, match=r"empty\.svs"):
        open_slide(tmp_path / "empty.svs")


def test_a_name_with_an_emoji_opens(tmp_path: Path) -> None:
    assert open_slide(write_tiff(tmp_path / "Füße 🔬.tif", [noise(70, 70)])).name == "Füße 🔬"


def dicom_stub(path: Path, series: bytes) -> None:
    element = b"\x20\x00\x0e\x00UI" + len(series).to_bytes(2, "little") + series
    path.write_bytes(b"\0" * 128 + b"DICM" + element + b"\0" * 20)


def test_a_folder_is_one_dicom_series(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("not it")
    with pytest.raises(SlideError, match="without DICOM"):
        open_slide(tmp_path)
    dicom_stub(tmp_path / "b.dcm", b"1.2.3\0")
    dicom_stub(tmp_path / "c", b"1.2.3\0")
    assert slide_file_in(tmp_path).name == "b.dcm"
    dicom_stub(tmp_path / "a.dcm", b"1.2.4\0")
    with pytest.raises(SlideError, match="2 DICOM series"):
        slide_file_in(tmp_path)


def jpeg_slide(path: Path) -> Path:
    """A JPEG TIFF of 8 x 8 tiles, of which the one at tile column 3, row 2 is garbage."""
    image = halved(noise(1024, 1024))
    tifffile.imwrite(path, image, tile=(64, 64), photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        index = 2 * 8 + 3
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x00" * count)
    return path


def test_one_broken_tile_does_not_end_the_slide(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    with open_slide(jpeg_slide(tmp_path / "broken.tif")) as slide:
        before = slide.read_region(0, 0, 64, 64)
        with pytest.raises(TileReadError, match=r"broken.*\(200, 140\).*copy it anew"):
            slide.read_region(200, 140, 20, 20)
        assert np.array_equal(slide.read_region(0, 0, 64, 64), before)
        slide.read_region(300, 300, 64, 64)
        with pytest.raises(TileReadError):
            slide.read_region(200, 140, 20, 20)


def test_a_file_cut_short_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    path = tmp_path / "cut.tif"
    image = noise(512, 512)
    tifffile.imwrite(path, image, tile=(64, 64), photometric="rgb", compression="jpeg")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with pytest.raises(SlideError, match=r"cut\.tif: .*incomplete; copy it anew"):
        open_slide(path)


class Flaky:
    """Makes a handle die, as OpenSlide's do, when a region right of x = 50 is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = openslide.OpenSlide.read_region
        dead: set[int] = set()
        self.opened = 0
        real_init = openslide.OpenSlide.__init__

        def init(handle, *args):
            self.opened += 1
            dead.discard(id(handle))
            real_init(handle, *args)

        def read(handle, location, level, size):
            if id(handle) in dead or location[0] >= 50:
                dead.add(id(handle))
                raise openslide.OpenSlideError("cannot decode")
            return real(handle, location, level, size)

        monkeypatch.setattr(openslide.OpenSlide, "read_region", read)
        monkeypatch.setattr(openslide.OpenSlide, "__init__", init)


def test_a_dead_handle_is_replaced(tiff, monkeypatch) -> None:
    image = noise(100, 100)
    path = tiff([image])
    flaky = Flaky(monkeypatch)
    with open_slide(path) as slide:
        for _ in range(3):
            with pytest.raises(TileReadError, match=r"case.*\(60, 0\)"):
                slide.read_region(60, 0, 10, 10)
            assert np.array_equal(slide.read_region(0, 0, 10, 10), image[:10, :10])
            opened = flaky.opened
            assert np.array_equal(slide.read_region(0, 0, 10, 10), image[:10, :10])
            assert flaky.opened == opened, "the dead handle is still in use"


def test_threads_do_not_suffer_for_each_others_regions(tiff, monkeypatch) -> None:
    image = noise(100, 100)
    path = tiff([image])
    Flaky(monkeypatch)
    wrong: list[str] = []
    with open_slide(path) as slide:

        def read(x: int) -> None:
            for _ in range(40):
                try:
                    same = np.array_equal(slide.read_region(x, 3, 8, 8), image[3:11, x : x + 8])
                    if x >= 50 or not same:
                        wrong.append(f"{x} was read")
                except TileReadError:
                    if x < 50:
                        wrong.append(f"{x} failed")

        threads = [threading.Thread(target=read, args=(x,)) for x in (0, 60, 20, 70)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_truncated_slide_fails_with_a_name_and_spares_the_rest(
    real_slides: Path, tmp_path: Path
) -> None:
    whole = (real_slides / "CMU-1-Small-Region.svs").read_bytes()
    cut = tmp_path / "cut.svs"
    cut.write_bytes(whole[: int(len(whole) * 0.6)])
    try:
        slide = open_slide(cut)
    except SlideError as error:
        assert "cut.svs" in str(error)
        return
    read, failed = 0, 0
    for y in range(0, slide.height, 480):
        for x in range(0, slide.width, 480):
            try:
                slide.read_region(x, y, 48, 48)
                read += 1
            except TileReadError:
                failed += 1
    assert read and failed


def test_svs_and_dicom_of_one_slide_agree(real_slides: Path) -> None:
    folder = real_slides / "CMU-1-Small-Region-dicom"
    svs = open_slide(real_slides / "CMU-1-Small-Region.svs")
    dicom = open_slide(folder)
    file = open_slide(next(folder.glob("*.dcm")))
    assert (svs.width, svs.height) == (dicom.width, dicom.height) == (2220, 2967)
    assert svs.mpp == pytest.approx((0.499, 0.499)) and dicom.mpp == pytest.approx(svs.mpp)
    assert file.fingerprint == dicom.fingerprint != svs.fingerprint
    assert dicom.name == "CMU-1-Small-Region-dicom"
    a = svs.read_region(500, 700, 512, 512).astype(int)
    b = dicom.read_region(500, 700, 512, 512).astype(int)
    # Two JPEG compressions of one scan: alike, and not shifted by a pixel.
    assert np.abs(a - b).mean() < 5
    assert np.abs(a[:, 1:] - b[:, :-1]).mean() > 1.5 * np.abs(a - b).mean()


def test_the_label_and_the_macro_are_never_opened(real_slides: Path, monkeypatch) -> None:
    def forbidden(self):
        raise AssertionError("an associated image was touched")

    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(forbidden))
    with open_slide(real_slides / "CMU-1-Small-Region.svs") as slide:
        describe(slide, find_tissue(slide))


@pytest.mark.parametrize("which", ["CMU-1-Small-Region.svs", "CMU-1-Small-Region-dicom"])
def test_description_holds_no_property_of_the_file(real_slides: Path, which: str) -> None:
    path = real_slides / which
    with open_slide(path) as slide:
        described = describe(slide, find_tissue(slide))
    text = json.dumps(described)
    file = path if path.is_file() else next(path.glob("*.dcm"))
    properties = dict(openslide.OpenSlide(file).properties)
    # Values that identify: neither short numbers nor what describe() is there to say.
    said = {"2220", "2967", "0.499", slide.vendor}
    private = {v for v in properties.values() if len(v) > 4 and v not in said}
    private -= {v for v in private if v in slide.name}  # Filename 'CMU-1': part of the base name
    leaked = [value for value in private if value in text]
    assert private and not leaked
    for word in ("label", "macro", "User", "Date", "Filename", "Patient", str(path.parent)):
        assert word not in text
    assert described["tissue_share"] > 0
    assert described["width"] == 2220 and described["mpp"] == pytest.approx([0.499, 0.499])


def test_description_is_plain_json(tiff) -> None:
    image = noise(200, 100)
    described = describe(open_slide(tiff([image, halved(image)], mpp=None)))
    assert json.loads(json.dumps(described)) == described
    assert described["mpp"] is None and "tissue_share" not in described
    assert described["levels"][1] == {"width": 50, "height": 100, "downsample": 2.0}


def test_a_folder_gives_every_slide_in_it_once(real_slides: Path, tmp_path: Path) -> None:
    from napari_smoothsal.slides.find import slides_among

    dicom = real_slides / "CMU-1-Small-Region-dicom"
    assert slides_among([dicom]) == [dicom]
    # One file, one DICOM series as loose files, one as a folder, and what is no slide.
    (tmp_path / "a.svs").symlink_to(real_slides / "CMU-1-Small-Region.svs")
    for file in dicom.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "case").symlink_to(dicom, target_is_directory=True)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "cut.svs").write_bytes(b"a slide once")
    found = slides_among([tmp_path])
    assert tmp_path / "cut.svs" in found  # it fails, listed, instead of being left out
    assert len(found) == 4 and {tmp_path / "a.svs", tmp_path / "case"} < set(found)
