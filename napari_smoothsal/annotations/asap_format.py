"""``asap``: the XML of ASAP: annotations with coordinates, and the groups they are part of.

A group is a class. Nested groups, groups that nothing is part of, attributes that are not known
here and a spline's control points are kept and written as they were.

No document type is accepted, so that a file can define no entities, and neither small files that
expand to gigabytes nor references to other files mean anything. That is all that defusedxml's
``forbid_dtd`` would do; the parser tells of a document type before it reads what it defines.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import shapely

from napari_smoothsal.annotations.annotation import (
    Annotation,
    Annotations,
    Colour,
    Geometry,
    checked_geometry,
)
from napari_smoothsal.annotations.formats import FORMATS, AnnotationFormat
from napari_smoothsal.core.errors import AnnotationError

NAME = "asap"
ROOT = "ASAP_Annotations"
NO_GROUP = "None"
"""What ASAP writes where something is part of no group."""
DEFAULT_COLOUR = (244, 250, 88)
"""ASAP's own, for what has none."""
AREAS = ("Polygon", "Spline", "Rectangle")
TYPES = {
    "Polygon": "Polygon",
    "Point": "Dot",
    "MultiPoint": "PointSet",
    "LineString": "Measurement",
}
"""By geometry, what is written of one that was read from no file of ASAP."""
_COLOUR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


class _NoDocumentTypeError(ValueError):
    """A document type was met."""


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, *_: Any) -> None:
        raise _NoDocumentTypeError


def parsed(content: bytes, file_name: str) -> Annotations:
    """What a file of ASAP marks.

    Raises
    ------
    AnnotationError
        If it is no XML of ASAP, declares a document type, or an annotation is malformed.
    """
    root = _root(content, file_name)
    groups = root.findall("AnnotationGroups/Group")
    colours = {group.get("Name", ""): _colour(group.get("Color")) for group in groups}
    nodes = root.findall("Annotations/Annotation")
    items = [_annotation(node, n, colours, file_name) for n, node in enumerate(nodes, start=1)]
    return Annotations(tuple(items), NAME, {"groups": tuple(groups)})


def written(annotations: Annotations) -> bytes:
    """A file of ASAP.

    Raises
    ------
    AnnotationError
        If a polygon has holes, or several parts: the format has neither.
    """
    root = Element(ROOT)
    listed = SubElement(root, "Annotations")
    ours = annotations.format == NAME
    for number, one in enumerate(annotations):
        listed.append(_node(one, number, ours))
    grouped = SubElement(root, "AnnotationGroups")
    for group in _groups(annotations, annotations.rest.get("groups", ()) if ours else ()):
        grouped.append(group)
    ElementTree.indent(root, "\t")
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _root(content: bytes, file_name: str) -> Element:
    try:
        root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_Builder()))
    except _NoDocumentTypeError:
        raise AnnotationError(
            f"{file_name}: it declares a document type (DOCTYPE), which files of ASAP do not and "
            "which could hide other files or gigabytes; delete that line if you trust the file"
        ) from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise AnnotationError(
            f"{file_name}: not XML ({error}); save the annotations in ASAP"
        ) from error
    if root.tag != ROOT:
        raise AnnotationError(
            f"{file_name}: XML with the root {root.tag!r}, where ASAP writes {ROOT!r}; save the "
            "annotations in ASAP, or export them as GeoJSON"
        )
    return root


def _annotation(
    node: Element, number: int, colours: dict[str, Colour | None], file_name: str
) -> Annotation:
    which = f"annotation {number} ({node.get('Name', '')!r})"
    group = node.get("PartOfGroup", NO_GROUP)
    kind = node.get("Type", "")
    places = np.array(list(_places(node, file_name, which))).reshape(-1, 2)
    try:
        geometry = _geometry(kind, places)
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise AnnotationError(
            f"{file_name}: {which}, a {kind} of {len(places)} coordinates, has too few of them"
        ) from error
    if geometry is None:
        known = ", ".join((*AREAS, *list(TYPES.values())[1:]))
        raise AnnotationError(f"{file_name}: {which} is of type {kind!r}; only {known} can be used")
    return Annotation(
        checked_geometry(geometry, file_name, which),
        "" if group == NO_GROUP else group,
        colours.get(group) or _colour(node.get("Color")),
        node.get("Name", ""),
        "",
        {"node": node},
    )


def _places(node: Element, file_name: str, which: str) -> Iterable[tuple[float, float]]:
    try:
        found = [
            (float(place.get("Order", n)), float(place.get("X", "")), float(place.get("Y", "")))
            for n, place in enumerate(node.iterfind("Coordinates/Coordinate"))
        ]
    except ValueError as error:
        raise AnnotationError(
            f"{file_name}: {which} has a coordinate that is no number ({error})"
        ) from error
    return [(x, y) for _, x, y in sorted(found, key=lambda place: place[0])]


def _geometry(kind: str, places: np.ndarray[Any, np.dtype[np.float64]]) -> Geometry | None:
    if kind in AREAS:
        return shapely.Polygon(places)
    if kind == "Dot":
        return shapely.Point(places[0]) if len(places) else shapely.Point()
    if kind == "PointSet":
        return shapely.MultiPoint(places)
    if kind == "Measurement":
        return shapely.LineString(places)
    return None


def _colour(text: str | None) -> Colour | None:
    found = _COLOUR.fullmatch(text or "")
    if found is None:
        return None
    red, green, blue = (int(part, 16) for part in found.groups())
    return (red, green, blue)


def _hex(colour: Colour | None) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(colour or DEFAULT_COLOUR))


def _node(one: Annotation, number: int, ours: bool) -> Element:
    """As it was read, but for what has changed since."""
    before = one.rest.get("node") if ours else None
    geometry = one.geometry
    if geometry.geom_type not in TYPES or len(getattr(geometry, "interiors", ())):
        raise AnnotationError(
            f"annotation {number + 1} ({one.class_name or 'no class'}) has holes or several parts, "
            "which the XML of ASAP cannot say; write GeoJSON"
        )
    same_place = before is not None and _same_place(before, geometry)
    if same_place:
        node = copy.deepcopy(before)
        assert node is not None
    else:
        attributes = dict(before.attrib) if before is not None else {"Name": f"Annotation {number}"}
        # Control points that were moved are no spline or rectangle any more, as far as is known.
        node = Element("Annotation", attributes | {"Type": TYPES[geometry.geom_type]})
        _add_coordinates(node, geometry)
    if one.name:
        node.set("Name", one.name)
    node.set("PartOfGroup", one.class_name or NO_GROUP)
    if before is None or "Color" not in node.attrib:
        node.set("Color", _hex(one.colour))
    return node


def _same_place(node: Element, geometry: Geometry) -> bool:
    places = np.array(list(_places(node, "", ""))).reshape(-1, 2)
    found = _geometry(node.get("Type", ""), places)
    return found is not None and bool(found.equals_exact(geometry, 0.0))


def _add_coordinates(node: Element, geometry: Geometry) -> None:
    places = shapely.get_coordinates(geometry)
    if isinstance(geometry, shapely.Polygon):
        places = places[:-1]  # ASAP closes it itself
    listed = SubElement(node, "Coordinates")
    for order, (x, y) in enumerate(places.tolist()):
        SubElement(listed, "Coordinate", {"Order": str(order), "X": f"{x!r}", "Y": f"{y!r}"})


def _groups(annotations: Annotations, before: Iterable[Element]) -> Iterable[Element]:
    """Those that were read, whether something is part of them or not, and those that are new."""
    colours = {one.class_name: one.colour for one in annotations if one.class_name}
    for group in before:
        kept = copy.deepcopy(group)
        colour = colours.pop(kept.get("Name", ""), None)
        if colour is not None and colour != _colour(kept.get("Color")):
            kept.set("Color", _hex(colour))
        yield kept
    for name, colour in colours.items():
        group = Element("Group", {"Name": name, "PartOfGroup": NO_GROUP, "Color": _hex(colour)})
        SubElement(group, "Attributes")
        yield group


ASAP = FORMATS.register(
    AnnotationFormat(
        name=NAME,
        title="XML of ASAP",
        endings=(".xml",),
        most_bytes=64 * 2**20,
        parsed=parsed,
        written=written,
    )
)
