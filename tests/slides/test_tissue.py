"""Tissue: shares by closed form, and masks of slides whose tissue is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides import ArraySlide, Box, annotation, geojson, open_slide
from napari_smoothsal.slides.tissue import TissueMask, find_tissue

GLASS = (243, 242, 245)
EOSIN = (225, 150, 185)
PALE = (238, 212, 226)
HAEMATOXYLIN = (110, 80, 150)
BLUE_INK = (30, 60, 190)
GREEN_INK = (20, 130, 70)
BLACK = (8, 8, 10)


def painted(colour=GLASS, size=(400, 500), grain=3.0, seed=0) -> np.ndarray:
    image = np.random.default_rng(seed).normal(colour, grain, (*size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def paint(image: np.ndarray, box: tuple[int, int, int, int], colour) -> None:
    x, y, w, h = box
    image[y : y + h, x : x + w] = painted(colour, (h, w), seed=x + y)


def auto(image: np.ndarray, mpp: float | None = 8.0) -> TissueMask:
    return find_tissue(ArraySlide([image], mpp=None if mpp is None else (mpp, mpp)))


# --- shares ---------------------------------------------------------------------------------


@given(st.floats(-30, 50), st.floats(-30, 50), st.floats(0.5, 60), st.floats(0.5, 60))
def test_share_of_a_rectangle_is_the_overlap(x: float, y: float, w: float, h: float) -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:7, 5:15] = True
    tissue = TissueMask(mask, (3.0, 2.0), "image")  # level-0 px: y 6..21, x 10..30
    across = max(0.0, min(x + w, 30) - max(x, 10))
    down = max(0.0, min(y + h, 21) - max(y, 6))
    assert tissue.fraction(Box(x, y, w, h)) == pytest.approx(across * down / (w * h), abs=1e-9)


def test_many_boxes_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    tissue = TissueMask(rng.random((13, 17)) > 0.5, (4.5, 3.5), "image")
    x, y = rng.uniform(-20, 70, (2, 5, 4))
    shares = tissue.fractions(x, y, 11.0, 7.5)
    assert shares.shape == (5, 4)
    one_by_one = [tissue.fraction(Box(a, b, 11, 7.5)) for a, b in zip(x.flat, y.flat, strict=True)]
    assert np.allclose(shares.ravel(), one_by_one)


def test_area_is_in_level_0_px() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, 1:4] = True
    tissue = TissueMask(mask, (10.0, 8.0), "image")
    assert tissue.area == 240
    assert tissue.share == 3 / 20


# --- auto -----------------------------------------------------------------------------------


@pytest.mark.parametrize("glass", [GLASS, (255, 255, 255), (246, 241, 228), (225, 228, 232)])
def test_all_glass_is_an_empty_mask(glass) -> None:
    tissue = auto(painted(glass))
    assert tissue.area == 0
    assert tissue.fraction(Box(0, 0, 100, 100)) == 0


@pytest.mark.parametrize("colour", [EOSIN, PALE, HAEMATOXYLIN])
def test_all_tissue_is_a_full_mask(colour) -> None:
    image = painted(colour)
    assert auto(image).share == 1
    paint(image, (0, 0, 250, 400), HAEMATOXYLIN)  # Otsu alone would part nuclei from stroma
    assert auto(image).share > 0.99


def test_very_pale_stroma_beside_dark_nuclei_is_tissue_where_there_is_no_glass() -> None:
    image = painted((240, 218, 230))
    paint(image, (0, 0, 250, 400), HAEMATOXYLIN)
    assert auto(image).share > 0.99


def test_noiseless_pictures_do_not_confuse_otsu() -> None:
    assert auto(np.full((300, 300, 3), 255, np.uint8)).area == 0
    assert auto(np.full((300, 300, 3), EOSIN, np.uint8)).share == 1
    assert auto(np.zeros((300, 300, 3), np.uint8)).area == 0


@pytest.mark.parametrize("colour", [EOSIN, PALE, HAEMATOXYLIN])
@pytest.mark.parametrize("mpp", [8.0, None])
def test_a_piece_on_glass_is_found_where_it_is(colour, mpp) -> None:
    image = painted()
    paint(image, (100, 50, 200, 150), colour)
    tissue = auto(image, mpp)
    assert tissue.source == "otsu saturation"
    assert tissue.fraction(Box(103, 53, 194, 144)) == 1
    assert tissue.fraction(Box(0, 0, 95, 400)) == 0
    assert tissue.area == pytest.approx(200 * 150, rel=0.05)


@pytest.mark.parametrize("ink", [BLUE_INK, GREEN_INK, BLACK])
def test_pen_marks_are_not_tissue(ink) -> None:
    image = painted()
    paint(image, (100, 50, 200, 150), EOSIN)
    paint(image, (350, 300, 120, 20), ink)
    tissue = auto(image)
    assert tissue.fraction(Box(345, 295, 130, 30)) == 0
    assert tissue.fraction(Box(103, 53, 194, 144)) == 1


def test_black_border_and_ring_are_not_tissue() -> None:
    image = painted(BLACK)
    paint(image, (40, 40, 420, 320), GLASS)
    paint(image, (150, 120, 150, 120), HAEMATOXYLIN)
    tissue = auto(image)
    assert tissue.fraction(Box(155, 125, 140, 110)) == 1
    assert tissue.area == pytest.approx(150 * 120, rel=0.06)


def test_debris_goes_and_small_holes_close_by_their_size_in_micrometres() -> None:
    image = painted()
    paint(image, (100, 50, 200, 150), EOSIN)
    paint(image, (400, 300, 8, 8), EOSIN)  # 64 um at 8 um/px
    paint(image, (180, 100, 8, 8), GLASS)
    paint(image, (220, 90, 40, 40), GLASS)  # 320 um: a real hole
    tissue = auto(image)
    assert tissue.fraction(Box(395, 295, 18, 18)) == 0
    assert tissue.fraction(Box(178, 98, 12, 12)) == 1
    assert tissue.fraction(Box(225, 95, 30, 30)) == 0


def test_a_tiny_slide_is_not_all_debris() -> None:
    assert auto(painted(EOSIN, (64, 64)), mpp=0.25).share == 1
    assert auto(painted(GLASS, (64, 64)), mpp=0.25).share == 0
    half = painted(GLASS, (64, 64))
    paint(half, (0, 0, 32, 64), EOSIN)
    assert auto(half, mpp=0.25).share == pytest.approx(0.5, abs=0.06)


def test_mask_is_registered_when_the_slide_is_larger_than_the_mask() -> None:
    image = painted(size=(2400, 3000))
    paint(image, (600, 300, 1200, 900), EOSIN)
    tissue = auto(image, mpp=1.0)
    assert tissue.mask.shape[1] < 600
    h, w = tissue.mask.shape
    assert tissue.downsample == (2400 / h, 3000 / w)
    rows, columns = np.nonzero(tissue.mask)
    down_y, down_x = tissue.downsample
    edges = [
        columns.min() * down_x,
        (columns.max() + 1) * down_x,
        rows.min() * down_y,
        (rows.max() + 1) * down_y,
    ]
    # Within two mask px of the truth, the smoothing's reach, and symmetric.
    assert edges == pytest.approx([600, 1800, 300, 1200], abs=2 * down_x)


def test_real_slide_has_a_plausible_share(real_slides: Path) -> None:
    with open_slide(real_slides / "CMU-1-Small-Region.svs") as slide:
        tissue = find_tissue(slide)
    # Looked at: a strip of skin through the middle, glass left and right.
    assert 0.30 < tissue.share < 0.42
    assert tissue.fraction(Box(0, 1500, 300, 800)) == 0, "glass on the left"
    assert tissue.fraction(Box(850, 2000, 300, 300)) > 0.9, "dermis"


# --- all, and what others have marked -------------------------------------------------------


def test_all_is_the_scanned_area() -> None:
    image = painted(size=(100, 200))
    assert find_tissue(ArraySlide([image]), "all").share == 1
    bounded = find_tissue(ArraySlide([image], bounds=(50, 20, 100, 60)), "all")
    assert bounded.source == "all"
    assert bounded.fraction(Box(50, 20, 100, 60)) == 1
    assert bounded.area == pytest.approx(6000)


@pytest.fixture
def slide() -> ArraySlide:
    return ArraySlide([painted(size=(400, 500))])


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def polygon(*rings: list[list[float]]) -> dict:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: dict | None) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": {}}


def collection(*features: dict) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


ONE = polygon(square(100, 60, 80))
POINT = {"type": "Point", "coordinates": [3, 4]}


@pytest.mark.parametrize(
    "content",
    [
        ONE,
        feature(ONE),
        collection(feature(ONE)),
        [feature(ONE)],
        collection(feature(ONE), feature(POINT), feature(None)),
        {"type": "GeometryCollection", "geometries": [ONE, POINT]},
        {"type": "MultiPolygon", "coordinates": [ONE["coordinates"]]},
    ],
    ids=["geometry", "feature", "collection", "list", "with a point", "geometries", "multi"],
)
def test_geojson_in_each_wrapping(slide, tmp_path: Path, content) -> None:
    path = tmp_path / "regions.geojson"
    path.write_text(json.dumps(content))
    tissue = find_tissue(slide, str(path))
    assert tissue.source == "geojson"
    assert tissue.area == 80 * 80
    assert tissue.fraction(Box(100, 60, 80, 80)) == 1


def test_geojson_holes_overlaps_and_specks(slide, tmp_path: Path) -> None:
    path = tmp_path / "regions.json"
    with_hole = polygon(square(100, 60, 80), square(120, 80, 20))
    island = polygon(square(126, 86, 8))
    speck = polygon(square(300.2, 300.2, 0.1))
    path.write_text(json.dumps(collection(feature(with_hole), feature(island), feature(speck))))
    tissue = find_tissue(slide, str(path))
    assert tissue.area == 80 * 80 - 20 * 20 + 8 * 8 + 1
    assert tissue.mask[300, 300]


def test_geojson_partly_outside_is_cut(slide, tmp_path: Path) -> None:
    path = tmp_path / "regions.geojson"
    path.write_text(json.dumps(polygon(square(-50, -50, 100))))
    assert find_tissue(slide, str(path)).area == 50 * 50


def test_geojson_outside_the_slide_names_both_extents(slide, tmp_path: Path) -> None:
    path = tmp_path / "other.geojson"
    path.write_text(json.dumps(polygon(square(9000, 8000, 100))))
    with pytest.raises(SlideError, match=r"x 9000 to 9100 and y 8000 to 8100.*500.*400.*level 0"):
        find_tissue(slide, str(path))


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        "",
        "[" * 100_000,
        '"text"',
        '{"type": "Banana"}',
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": 3}',
        '{"type": "FeatureCollection", "features": []}',
        '{"type": "Polygon"}',
        '{"type": "Polygon", "coordinates": 3}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}',
        '{"type": "Polygon", "coordinates": [[["a", 0], [1, 1], [2, 0], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[NaN, 0], [1, 1], [2, 0], [NaN, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[1e999, 0], [1, 1], [2, 0], [1e999, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[1e300, 0], [1, 1], [2, 0], [1e300, 0]]]}',
    ],
)
def test_bad_geojson_is_a_slide_error(slide, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    try:
        find_tissue(slide, str(path))
    except SlideError as error:
        assert "bad.geojson" in str(error)
    else:
        assert "1e300" in text, "finite, if absurd, coordinates may be drawn"


def test_binary_and_oversized_geojson_are_refused(slide, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "bad.geojson"
    path.write_bytes(b"\xff\xfe\x00\x80" * 50)
    with pytest.raises(SlideError, match=r"bad\.geojson"):
        find_tissue(slide, str(path))
    monkeypatch.setattr(geojson, "MAX_GEOJSON_BYTES", 100)
    with pytest.raises(SlideError, match="GeoJSON is more than"):
        find_tissue(slide, str(path))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "RGBA"])
def test_mask_image_is_stretched_over_the_slide(slide, tmp_path: Path, suffix, mode) -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 5:25] = 255
    picture = Image.fromarray(mask)
    if mode == "P":
        picture = Image.fromarray(mask // 255)
        picture.putpalette([0, 0, 0, 255, 255, 255])
    path = tmp_path / f"mask{suffix}"
    (picture if mode in ("L", "P") else picture.convert(mode)).save(path)
    tissue = find_tissue(slide, str(path))
    assert tissue.source == "image"
    assert tissue.downsample == (10, 10)
    assert tissue.area == 200 * 100
    assert tissue.fraction(Box(50, 100, 200, 100)) == 1


def test_bad_mask_images_are_refused(slide, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "mask.png"
    path.write_text("no image")
    with pytest.raises(SlideError, match=r"mask\.png"):
        find_tissue(slide, str(path))
    Image.new("L", (200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SlideError, match=r"mask\.png"):
        find_tissue(slide, str(path))
    Image.new("L", (200, 200)).save(path)
    monkeypatch.setattr(annotation, "MAX_IMAGE_PX", 100)
    with pytest.raises(SlideError, match="200 x 200"):
        find_tissue(slide, str(path))


def test_unknown_tissue_settings_say_what_there_is(slide, tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"'auto', 'all'"):
        find_tissue(slide, "otsu")
    (tmp_path / "mask.docx").touch()
    with pytest.raises(SlideError, match="neither"):
        find_tissue(slide, str(tmp_path / "mask.docx"))
