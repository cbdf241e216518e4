"""A slide that was cut short is told from a file that is no slide: the remedy is another one."""

from pathlib import Path

import pytest
import tifffile
from slide_pictures import noise

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides import open_slide
from napari_smoothsal.slides.tiff_header import tiff_is_cut_short


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_whose_directory_is_lost_was_cut_short(
    big: bool, order: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as tiff:
        tiff.write(noise(64, 64), photometric="rgb", tile=(32, 32))
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages.first.offset
    whole = path.read_bytes()
    assert not tiff_is_cut_short(path)
    path.write_bytes(whole[:first])
    assert tiff_is_cut_short(path)


def test_the_remedy_of_a_cut_slide_is_another_copy(real_slides: Path, tmp_path: Path) -> None:
    whole = (real_slides / "CMU-1-Small-Region.svs").read_bytes()
    cut = tmp_path / "cut.svs"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SlideError, match=r"cut\.svs: .*cut short.* copy it anew") as caught:
        open_slide(cut)
    assert "Hamamatsu" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"II", b"no slide, only some words"])
def test_what_is_no_tiff_is_called_no_slide(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    assert not tiff_is_cut_short(path)
    with pytest.raises(SlideError, match="supported are"):
        open_slide(path)
