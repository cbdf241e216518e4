"""Named outlines as QuPath's versions and others write them, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import shapely

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.slides.outlines import Outlines, read_outlines
from napari_smoothsal.slides.sample import sample_outlines_path


def box(x: float, y: float, side: float) -> dict:
    return json.loads(shapely.to_geojson(shapely.box(x, y, x + side, y + side)))


def feature(geometry: dict | None, **properties: object) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def read(tmp_path: Path, content: object) -> Outlines:
    path = tmp_path / "truth.geojson"
    path.write_text(json.dumps(content))
    return read_outlines(path)


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 0]}}, "Tumor"),
        ({"classification": {"name": "Tumor", "colorRGB": -3670016}}, "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive"),
        ({"classification": "Tumor"}, "Tumor"),
        ({"objectType": "detection"}, "unclassified"),
        ({"classification": None}, "unclassified"),
        ({"classification": {}}, "unclassified"),
    ],
)
def test_classes_in_each_dialect(tmp_path: Path, properties: dict, name: str) -> None:
    found = read(tmp_path, [feature(box(2, 3, 10), **properties)])
    assert found.names.tolist() == [name]
    assert found.shapes[0].bounds == (2, 3, 12, 13)
    assert found.object_types[0] == properties.get("objectType", "")


def test_a_feature_without_properties_and_ones_without_a_surface(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [1, 2]}
    bare = {"type": "Feature", "geometry": box(0, 0, 3), "properties": None}
    found = read(
        tmp_path, {"type": "FeatureCollection", "features": [bare, feature(point), feature(None)]}
    )
    assert len(found) == 1 and found.counts == {"unclassified": 1}


def test_of_a_cell_its_nucleus_is_read(tmp_path: Path) -> None:
    cell = feature(box(0, 0, 30), objectType="cell", classification={"name": "Tumor"})
    cell["nucleusGeometry"] = box(10, 10, 8)
    found = read(tmp_path, [cell, feature(box(50, 0, 30), objectType="cell")])
    assert [shape.area for shape in found.shapes] == [64, 900]
    assert found.object_types.tolist() == ["cell", "cell"]


def test_a_multipolygon_is_one_outline_and_order_is_kept(tmp_path: Path) -> None:
    two = {
        "type": "MultiPolygon",
        "coordinates": [box(0, 0, 2)["coordinates"], box(5, 5, 2)["coordinates"]],
    }
    found = read(tmp_path, [feature(two, classification={"name": str(i)}) for i in range(4)])
    assert found.names.tolist() == ["0", "1", "2", "3"] and found.shapes[0].area == 8


def test_the_sample_slides_truth() -> None:
    with sample_outlines_path() as path:
        found = read_outlines(path)
    assert found.counts == {"normal nucleus": 13992, "tumour nucleus": 1859, "tumour area": 4}
    found.check_on_slide((6144, 4096))
    with pytest.raises(SlideError, match=r"y 475 to 3638.*x 0 to 6144 and y 0 to 2048"):
        found.check_on_slide((6144, 2048))


@pytest.mark.parametrize(("beyond", "refused"), [(0.9, False), (1.1, True)])
@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_an_outline_may_stick_out_by_rounding_only(
    tmp_path: Path, side: str, beyond: float, refused: bool
) -> None:
    x = {"left": -beyond, "right": 90 + beyond}.get(side, 40)
    y = {"top": -beyond, "bottom": 40 + beyond}.get(side, 20)
    found = read(tmp_path, [feature(box(30, 20, 10)), feature(box(x, y, 10))])
    if refused:
        with pytest.raises(SlideError, match=r"truth\.geojson.*x 0 to 100 and y 0 to 50.*level 0"):
            found.check_on_slide((100, 50))
    else:
        found.check_on_slide((100, 50))


@pytest.mark.parametrize(
    "text", ["{not json", "", '{"type": "Banana"}', "[]", '{"type": "FeatureCollection"}', "\0\0"]
)
def test_what_is_no_geojson_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.geojson"
    path.write_text(text)
    with pytest.raises(SlideError, match=r"^notes\.geojson: (not GeoJSON|there is no Polygon)"):
        read_outlines(path)
    with pytest.raises(SlideError, match=r"gone\.geojson: there is no such file"):
        read_outlines(tmp_path / "gone.geojson")
