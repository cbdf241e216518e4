"""Files of QuPath and ASAP: what they mark is read, and nothing is lost on the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_smoothsal.annotations import (
    Annotation,
    Annotations,
    read_annotations,
    write_annotations,
)
from napari_smoothsal.annotations.geojson_format import parsed, written
from napari_smoothsal.core.errors import AnnotationError, UnknownNameError

SQUARE = [[10.5, 20], [60, 20], [60, 70], [10.5, 70], [10.5, 20]]
HOLE = [[30, 30], [40, 30], [40, 40], [30, 40], [30, 30]]
FAR = [[300, 300], [340, 300], [340, 340], [300, 300]]

QUPATH: dict[str, Any] = {
    "type": "FeatureCollection",
    "crs": {"of": "somebody"},
    "features": [
        {
            "type": "Feature",
            "id": "6ab0c7d2-0001-4a5f-9d3c-7f3d54aa0001",
            "geometry": {
                "type": "Polygon",
                "coordinates": [SQUARE, HOLE],
                "plane": {"c": -1, "z": 0, "t": 0},
            },
            "properties": {
                "objectType": "annotation",
                "name": "beside the vessel",
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
                "isLocked": True,
                "measurements": {"Area µm^2": 612.5},
            },
        },
        {
            "type": "Feature",
            "id": 7,
            "foreign": ["kept"],
            "geometry": {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [FAR]]},
            "properties": {
                "classification": {"names": ["Tumor", "Positive"], "colorRGB": -3670016}
            },
        },
        {
            "type": "Feature",
            "geometry": {"type": "MultiPoint", "coordinates": [[1, 2], [3.25, 4]]},
            "properties": None,
        },
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [8, 9]},
            "properties": {"classification": "Mitosis"},
        },
        {
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [[0, 0], [5, 5]]},
            "properties": {"name": "ruler"},
        },
    ],
}

ASAP = """<?xml version="1.0"?>
<ASAP_Annotations>
 <Annotations>
  <Annotation Name="a" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58" Extra="kept">
   <Coordinates>
    <Coordinate Order="1" X="60" Y="20.25"/><Coordinate Order="0" X="10" Y="20"/>
    <Coordinate Order="2" X="60" Y="70"/>
   </Coordinates>
  </Annotation>
  <Annotation Name="b" Type="Dot" PartOfGroup="None" Color="#64FE2E">
   <Coordinates><Coordinate Order="0" X="5.5" Y="6"/></Coordinates>
  </Annotation>
  <Annotation Name="c" Type="Spline" PartOfGroup="Stroma" Color="#F4FA58">
   <Coordinates>
    <Coordinate Order="0" X="1" Y="1"/><Coordinate Order="1" X="9" Y="1"/>
    <Coordinate Order="2" X="9" Y="9"/>
   </Coordinates>
  </Annotation>
 </Annotations>
 <AnnotationGroups>
  <Group Name="Tumor" PartOfGroup="Lesion" Color="#ff0000"><Attributes><A/></Attributes></Group>
  <Group Name="Lesion" PartOfGroup="None" Color="#00ff00"><Attributes/></Group>
  <Group Name="Stroma" PartOfGroup="None" Color="#0000ff"><Attributes/></Group>
 </AnnotationGroups>
</ASAP_Annotations>
"""


def file(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def test_qupath_says_geometry_class_colour_name_and_id(tmp_path: Path) -> None:
    found = read_annotations(file(tmp_path, "a.geojson", QUPATH))
    assert found.counts == {"": 2, "Tumor": 1, "Tumor: Positive": 1, "Mitosis": 1}
    first, second, points, _, line = found
    assert first.geometry.area == 49.5 * 50 - 100
    assert (first.name, first.colour) == ("beside the vessel", (200, 0, 0))
    assert first.id == "6ab0c7d2-0001-4a5f-9d3c-7f3d54aa0001"
    assert second.colour == (200, 0, 0)  # packed as Java does
    assert [p.area for p in second.polygons] == [49.5 * 50 - 100, 800]
    assert shapely.get_coordinates(points.geometry).tolist() == [[1, 2], [3.25, 4]]
    assert line.name == "ruler" and not line.polygons


def test_what_nobody_has_changed_is_written_as_it_was(tmp_path: Path) -> None:
    path = file(tmp_path, "a.geojson", QUPATH)
    write_annotations(tmp_path / "b.geojson", read_annotations(path))
    back = json.loads((tmp_path / "b.geojson").read_text(encoding="utf-8"))
    expected = json.loads(json.dumps(QUPATH))
    expected["features"][2]["properties"] = {"objectType": "annotation"}
    assert back == expected
    assert [p.name for p in tmp_path.iterdir()].count("b.geojson") == 1  # no part is left


def test_what_has_changed_changes_and_the_rest_stays(tmp_path: Path) -> None:
    found = read_annotations(file(tmp_path, "a.geojson", QUPATH))
    one = found[0]
    moved = Annotation(
        shapely.Polygon(FAR), "Necrosis", (1, 2, 3), "another name", one.id, one.rest
    )
    write_annotations(tmp_path / "b.geojson", Annotations((moved,), found.format, found.rest))
    (back,) = json.loads((tmp_path / "b.geojson").read_text())["features"]
    assert back["geometry"] == {
        "type": "Polygon",
        "coordinates": [FAR],
        "plane": {"c": -1, "z": 0, "t": 0},
    }
    assert back["properties"] == {
        "objectType": "annotation",
        "name": "another name",
        "classification": {"name": "Necrosis", "color": [1, 2, 3]},
        "isLocked": True,
        "measurements": {"Area µm^2": 612.5},
    }
    assert one.rest["properties"]["name"] == "beside the vessel"  # what was read is untouched


place = st.tuples(*[st.floats(0, 2**17, allow_nan=False)] * 2)
word = st.text(max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | word,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=20, deadline=None)
@given(
    at=place,
    properties=st.dictionaries(word.filter(lambda k: k != "classification"), anything, max_size=4),
    number=st.none() | st.integers() | word,
)
def test_any_property_and_any_place_come_back(
    at: tuple[float, float], properties: dict[str, Any], number: Any
) -> None:
    feature = {
        "type": "Feature",
        "id": number,
        "geometry": {"type": "Point", "coordinates": list(at)},
        "properties": properties,
    }
    content = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
    assert json.loads(written(parsed(content, "x")))["features"] == [feature]


def test_asap_groups_are_classes_and_come_back(tmp_path: Path) -> None:
    found = read_annotations(file(tmp_path, "a.xml", ASAP))
    first, dot, spline = found
    assert (first.class_name, first.colour, first.name) == ("Tumor", (255, 0, 0), "a")
    # In the order that they say, not the one they stand in.
    assert shapely.get_coordinates(first.geometry)[:3].tolist() == [[10, 20], [60, 20.25], [60, 70]]
    assert dot.class_name == "" and dot.colour == (0x64, 0xFE, 0x2E)
    assert spline.class_name == "Stroma"
    write_annotations(tmp_path / "b.xml", found)

    def canonical(path: Path) -> str:
        return ElementTree.canonicalize(path.read_text(), strip_text=True)

    assert canonical(tmp_path / "a.xml") == canonical(tmp_path / "b.xml")


def test_one_format_is_written_as_the_other(tmp_path: Path) -> None:
    found = read_annotations(file(tmp_path, "a.xml", ASAP))
    write_annotations(tmp_path / "b.geojson", found)
    there = read_annotations(tmp_path / "b.geojson")
    write_annotations(tmp_path / "c.xml", there)
    back = read_annotations(tmp_path / "c.xml")
    for step in (there, back):
        for one, other in zip(found, step, strict=True):
            assert one.geometry.equals_exact(other.geometry, 0.0)
            assert one.class_name == other.class_name and one.name == other.name
            assert one.colour == other.colour
    root = ElementTree.parse(tmp_path / "c.xml").getroot()
    assert [g.get("Name") for g in root.iter("Group")] == ["Tumor", "Stroma"]
    assert [a.get("Type") for a in root.iter("Annotation")] == ["Polygon", "Dot", "Polygon"]


def test_what_asap_cannot_say_is_refused(tmp_path: Path) -> None:
    found = read_annotations(file(tmp_path, "a.geojson", QUPATH))
    for index in (0, 1):
        with pytest.raises(AnnotationError, match=r"holes or several parts.*write GeoJSON"):
            write_annotations(tmp_path / "b.xml", Annotations((found[index],), found.format))
    assert not (tmp_path / "b.xml").exists()


def feature(geometry: object) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": {}}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.geojson", "not at all", "not JSON"),
        ("a.geojson", "[" * 100_000, "not JSON"),
        ("a.geojson", {"type": "FeatureCollection"}, "lists no features"),
        ("a.geojson", {"type": "Topology"}, "'Topology'"),
        ("a.geojson", [3], "'int'"),
        ("a.geojson", [feature(None)], "feature 1 has the geometry None"),
        (
            "a.geojson",
            [feature({"type": "GeometryCollection", "geometries": []})],
            "'GeometryCollection'; only Polygon",
        ),
        (
            "a.geojson",
            [feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]})],
            "malformed coordinates",
        ),
        ("a.geojson", [feature({"type": "Point", "coordinates": ["x", 1]})], "malformed"),
        ("a.geojson", [feature({"type": "Point", "coordinates": [1e300, 1]})], "1e\\+300"),
        ("a.geojson", '[{"type": "Point", "coordinates": [NaN, 1]}]', "nan|no coordinates"),
        ("a.geojson", [feature({"type": "Polygon", "coordinates": []})], "no coordinates"),
        ("a.xml", "<ASAP_Annotations>", "not XML"),
        ("a.xml", "<html/>", "'html'"),
        ("a.xml", ASAP.replace("Dot", "Brush"), "'Brush'"),
        ("a.xml", ASAP.replace('X="5.5"', 'X="five"'), "annotation 2 .'b'.* no number"),
        ("a.xml", ASAP.replace('X="5.5"', 'X="nan"'), "annotation 2"),
        ("a.xml", ASAP.replace('<Coordinate Order="2" X="9" Y="9"/>', ""), "too few"),
        ("a.txt", "x", "no ending of a file of annotations"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, name: str, content: object, said: str
) -> None:
    with pytest.raises(AnnotationError, match=said) as found:
        read_annotations(file(tmp_path, name, content))
    assert name in str(found.value) and str(tmp_path) not in str(found.value)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ASAP_Annotations><Annotations>&b;</Annotations></ASAP_Annotations>"""
FILE = """<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<ASAP_Annotations>&a;</ASAP_Annotations>"""


@pytest.mark.parametrize("content", [BOMB, FILE, "<!DOCTYPE x SYSTEM 'y.dtd'><ASAP_Annotations/>"])
def test_xml_defines_nothing(tmp_path: Path, content: str) -> None:
    with pytest.raises(AnnotationError, match="DOCTYPE"):
        read_annotations(file(tmp_path, "a.xml", content))


def test_files_that_are_missing_too_large_or_of_no_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AnnotationError, match=r"nowhere\.xml.*cannot be read"):
        read_annotations(tmp_path / "nowhere.xml")
    with pytest.raises(UnknownNameError, match="format of annotations named 'qupath'"):
        read_annotations(tmp_path / "a.xml", format="qupath")
    huge = tmp_path / "huge.xml"
    with huge.open("wb") as sparse:
        sparse.truncate(2**27)
    with pytest.raises(AnnotationError, match=r"128 MiB .* more than the 64 MiB"):
        read_annotations(huge)
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_annotations(tmp_path / "no folder" / "a.xml", Annotations(()))


def test_annotations_beside_the_slide_are_refused_those_over_its_border_are_not() -> None:
    over = Annotation(shapely.box(-50, 10, 20, 40))
    Annotations((over,)).check_on_slide((100, 100))
    Annotations(()).check_on_slide((100, 100))
    beside = Annotation(shapely.Point(101, 50))
    with pytest.raises(AnnotationError, match=r"1 of 2 .* x 101 to 101 .* x 0 to 100.*level 0"):
        Annotations((over, beside)).check_on_slide((100, 100))


def test_properties_that_are_lists_of_annotations() -> None:
    both = Annotations((Annotation(shapely.Point(1, 2)), Annotation(shapely.Point(3, 4))))
    assert len(both) == 2 and both[1].geometry.x == 3
    assert np.allclose([one.geometry.x for one in both], [1, 3])
