"""Colours on the screen: what the scanner's profile says, and never what the model sees."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.settings import get_plugin_settings
from numpy.typing import NDArray
from PIL import Image, ImageCms
from viewer_pictures import tissue

from napari_smoothsal import open_slide
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.viewer.asked import SlideFile
from napari_smoothsal.viewer.display_colours import correction
from napari_smoothsal.viewer.readers import read_slides
from napari_smoothsal.viewer.requests import explained_slide
from napari_smoothsal.viewer.slide_form import SlideForm
from napari_smoothsal.viewer.slide_source import METADATA

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped(profile: bytes) -> bytes:
    """A profile whose red is blue and whose blue is red: no mistaking whether it was applied."""
    table, count = 132, struct.unpack_from(">I", profile, 128)[0]
    names = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
    changed = bytearray(profile)
    for at in range(table, table + 12 * count, 12):
        changed[at : at + 4] = names.get(profile[at : at + 4], profile[at : at + 4])
    return bytes(changed)


SWAPPED = swapped(SRGB)
CMYK = SRGB[:16] + b"CMYK" + SRGB[20:]


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return tissue(1100, 1500)


def slide_with(path: Path, picture: NDArray[np.uint8], profile: bytes | None) -> Path:
    tifffile.imwrite(
        path,
        picture,
        tile=(256, 256),
        photometric="rgb",
        resolution=(2e4, 2e4),
        resolutionunit="CENTIMETER",
        metadata=None,
        iccprofile=profile,
    )
    return path


@pytest.fixture
def scanned(tmp_path: Path, picture: NDArray[np.uint8]) -> Path:
    return slide_with(tmp_path / "scanned.tif", picture, SWAPPED)


def by_pil(picture: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    scanner = ImageCms.getOpenProfile(BytesIO(profile))
    image = ImageCms.profileToProfile(
        Image.fromarray(picture),
        scanner,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(scanner)),
    )
    return np.asarray(image)


def shown(path: Path) -> tuple[Any, Any]:
    """Levels and source of the layer that is opened."""
    ((levels, options, _),) = read_slides(str(path))
    return levels, options["metadata"][METADATA]


def test_a_slide_is_shown_as_its_profile_says(scanned: Path, picture: NDArray[np.uint8]) -> None:
    levels, source = shown(scanned)
    assert source.corrected and "sRGB" not in repr(source)
    want = by_pil(picture, SWAPPED)
    assert np.abs(want.astype(int) - picture).max() > 30
    np.testing.assert_array_equal(levels[0][:1100, :1500], want)
    halves = want.reshape(550, 2, 750, 2, 3).mean(axis=(1, 3))
    assert np.abs(levels[1][:550, :750] - halves).max() <= 0.5
    assert (levels[0][1100:] == 255).all()  # glass stays white


def test_the_model_sees_the_pixels_of_the_file(
    scanned: Path, picture: NDArray[np.uint8], viewer: Any, tmp_path: Path
) -> None:
    ((levels, options, _),) = read_slides(str(scanned))
    layer = viewer.add_image(levels, **options)
    handed, _ = explained_slide(layer, 0.0).handed_over(None, None, tmp_path)
    assert isinstance(handed, SlideFile)
    with open_slide(handed.path) as slide:
        np.testing.assert_array_equal(slide.read_region(0, 0, 1500, 1100), picture)


def test_switched_off_in_naparis_settings(scanned: Path, picture: NDArray[np.uint8]) -> None:
    get_plugin_settings("napari-smoothsal").slides.correct_colours = False
    levels, source = shown(scanned)
    assert not source.corrected
    np.testing.assert_array_equal(levels[0][:1100, :1500], picture)


@pytest.mark.parametrize(
    "profile",
    [None, b"nonsense" * 40, CMYK, SRGB],
    ids=["none", "not one", "not of RGB", "already sRGB"],
)
def test_without_a_profile_that_changes_colours_they_are_the_files(
    tmp_path: Path, picture: NDArray[np.uint8], profile: bytes | None
) -> None:
    levels, source = shown(slide_with(tmp_path / "case.tif", picture, profile))
    assert not source.corrected
    np.testing.assert_array_equal(levels[0][:1100, :1500], picture)


def test_profiles_come_from_the_file(scanned: Path, real_slides: Path) -> None:
    with open_slide(scanned) as slide:
        assert correction(slide.colour_profile) is not None
    with open_slide(real_slides / "CMU-1-Small-Region.svs") as slide:
        assert slide.colour_profile is None
    with open_slide(real_slides / "CMU-1-Small-Region-dicom") as slide:
        assert slide.colour_profile is not None  # of sRGB: nothing to correct
        assert correction(slide.colour_profile) is None
    assert ArraySlide([np.zeros((8, 8, 3), np.uint8)]).colour_profile is None


def test_the_dock_says_so(scanned: Path, tiff_slide: Path, viewer: Any, qtbot: Any) -> None:
    form = SlideForm(viewer)
    qtbot.addWidget(form)
    for path, told in ((tiff_slide, False), (scanned, True)):
        viewer.layers.clear()
        ((levels, options, _),) = read_slides(str(path))
        viewer.add_image(levels, **options)
        assert ("corrected for the screen (ICC), not for the model" in form.note) == told
    form.disconnect_viewer()
