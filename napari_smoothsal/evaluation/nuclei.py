"""Which outlines are nuclei, and which of them are of the class that a map explains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.slides.outlines import Outlines

PLAUSIBLE_UM = (2.0, 60.0)
"""Median equivalent diameters between which outlines are taken for nuclei without a word."""

_AREA = re.compile(r"\b(areas?|regions?)\b", re.IGNORECASE)
_SINGLE_OBJECTS = ("cell", "detection")


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Nuclei of a slide in two groups.

    Attributes
    ----------
    shapes
        (n,) outlines in micrometres from the slide's upper left corner.
    of_class
        (n,) True for nuclei of the explained class.
    class_name, other_names
        What the file calls the two groups.
    """

    shapes: NDArray[np.object_]
    of_class: NDArray[np.bool_]
    class_name: str
    other_names: tuple[str, ...]


def nuclei_of(
    outlines: Outlines,
    target: str,
    mpp: tuple[float, float],
    *,
    nuclei_class: str | None = None,
    other_classes: Sequence[str] = (),
) -> Nuclei:
    """Part outlines into nuclei of the explained class and other nuclei.

    Parameters
    ----------
    outlines
        Of the slide.
    target
        What the map explains. Its nuclei are the class of just this name, else the one class
        of nuclei whose name goes on after it: ``tumour`` finds ``tumour nucleus``.
    mpp
        (y, x) micrometres per level-0 px.
    nuclei_class
        The class, where the target does not name it (``auto``, ``a-b``).
    other_classes
        What the others are. Without: every other class with ``nucleus`` in its name or, where
        there is none, every other class. Areas and regions never are, and where QuPath has
        marked single objects (cells, detections), nothing else is.

    Raises
    ------
    SettingError
        If no class, or more than one, stands for the target, or a class is both.
    UnknownNameError
        If the file has no class of a name that was given.
    """
    known = list(outlines.counts)
    for name in (*([nuclei_class] if nuclei_class else []), *other_classes):
        if name not in known:
            raise UnknownNameError(f"class of outlines in {outlines.file_name}", name, known)
    single = np.isin(outlines.object_types, _SINGLE_OBJECTS)
    countable = single if single.any() else np.ones(len(outlines), np.bool_)
    candidates = [
        name for name in known if not _AREA.search(name) and countable[outlines.names == name].any()
    ]
    name = nuclei_class or _class_of(target, candidates, outlines)
    others = tuple(other_classes) or _others(name, candidates)
    if name in others:
        raise SettingError(
            f"--other-class {name!r} is also the class of the explained nuclei; name another"
        )
    # A class that was named is taken, whatever its objects are.
    of_class = (outlines.names == name) & (countable | (nuclei_class is not None))
    other = np.isin(outlines.names, others) & (countable | bool(other_classes))
    chosen = of_class | other
    shapes = shapely.transform(outlines.shapes[chosen], lambda points: points * mpp[::-1])
    _warn_of_size(shapes, outlines.file_name)
    return Nuclei(shapes, of_class[chosen], name, others)


def _class_of(target: str, candidates: list[str], outlines: Outlines) -> str:
    found = [name for name in candidates if name == target]
    found = found or [name for name in candidates if name.startswith(f"{target} ")]
    if len(found) == 1:
        return found[0]
    said = "none" if not found else "more than one (" + ", ".join(map(repr, found)) + ")"
    there = ", ".join(f"{name!r} ({n})" for name, n in list(outlines.counts.items())[:12])
    raise SettingError(
        f"{outlines.file_name}: of its classes {said} stands for the explained target {target!r}; "
        f"name one with --nuclei-class. There are: {there}"
    )


def _others(name: str, candidates: list[str]) -> tuple[str, ...]:
    rest = [other for other in candidates if other != name]
    return tuple([other for other in rest if "nucleus" in other.lower()] or rest)


def _warn_of_size(shapes: NDArray[np.object_], file_name: str) -> None:
    diameter = float(np.median(2 * np.sqrt(shapely.area(shapes) / np.pi)))
    low, high = PLAUSIBLE_UM
    if not low <= diameter <= high:
        warn_caller(
            f"{file_name}: the nuclei have a median diameter of {diameter:.3g} um, outside "
            f"{low:g} to {high:g} um; the coordinates seem not to be pixels of level 0 "
            "(micrometres, or pixels of another level?)"
        )
