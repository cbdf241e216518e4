"""Verdicts: what somebody says of places of a map, in a small file beside its store.

``case.smoothsal.zarr`` has its verdicts in ``case.smoothsal-verdicts.json``. They are beside it and
not in it: a store that is computed again, packed or checked knows nothing of them and loses none.
The file names no person, no path and no file; who judged is in nobody's interest but their own.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

import shapely
from pydantic import Field

from napari_smoothsal.annotations import Annotation, Annotations, format_of, write_annotations
from napari_smoothsal.core.errors import AnnotationError, SettingError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.hotspot import Hotspot, Ring
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.runs.layout import SUFFIX
from napari_smoothsal.runs.places import Place, on_url, read_whole
from napari_smoothsal.runs.run import Run

VERDICTS_SUFFIX = ".smoothsal-verdicts.json"
MOST_BYTES = 64 * 2**20
MOST_NOTE = 2000
"""Characters of a note."""

Said = Literal["agree", "artefact", "wrong"]
COLOURS: dict[Said, tuple[int, int, int]] = {
    "agree": (60, 220, 60),
    "artefact": (0, 190, 255),
    "wrong": (225, 0, 80),
}
"""Seen on stained tissue, and none of a map's own; a verdict is always written out as well."""
COLUMNS = (
    *("id", "verdict", "class", "note", "mean_saliency", "peak_saliency", "map", "percentile"),
    *("x_px", "y_px", "w_px", "h_px", "x_um", "y_um", "area_um2", "made"),
)
"""Of the table; boxes in level-0 px, the middle of the box in micrometres."""


class Verdict(Settings):
    """What was said of one place."""

    id: str = Field(default_factory=lambda: str(uuid4()), min_length=1, max_length=64)
    polygons: tuple[tuple[Ring, ...], ...] = Field(min_length=1)
    said: Said
    note: str = Field("", max_length=MOST_NOTE)
    map: str
    class_name: str
    mean: float | None = None
    peak: float | None = None
    area_um2: float
    percentile: float | None = None
    made: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def geometry(self) -> shapely.Polygon | shapely.MultiPolygon:
        """In level-0 px."""
        whole = self.hotspot.geometry
        return whole.geoms[0] if len(whole.geoms) == 1 else whole

    @property
    def hotspot(self) -> Hotspot:
        """The place, without what was said."""
        return Hotspot(self.polygons, self.mean, self.peak, self.area_um2, self.percentile)


class Verdicts(Settings):
    """All that was said of the maps of one store."""

    schema_version: Literal[1] = 1
    slide_fingerprint: str
    slide_size: tuple[int, int]
    mpp: tuple[float, float]
    model: str
    verdicts: tuple[Verdict, ...] = ()


def verdicts_path(store: Place) -> Place:
    """Where the verdicts on a store's maps lie."""
    return store.with_name(store.name.removesuffix(SUFFIX) + VERDICTS_SUFFIX)


def read_verdicts(run: Run) -> Verdicts:
    """What was said of a store's maps; nothing where nobody has said anything.

    Raises
    ------
    AnnotationError
        If the file is damaged, too large, or of another slide than the store.
    """
    path, slide = verdicts_path(run.path), run.provenance["slide"]
    empty = Verdicts(
        slide_fingerprint=slide["fingerprint"],
        slide_size=(slide["width"], slide["height"]),
        mpp=run.mpp,
        model=run.provenance["model"]["name"],
    )
    try:
        if not on_url(path) and path.stat().st_size > MOST_BYTES:
            raise AnnotationError(f"{path.name}: too large for a file of verdicts; move it away")
        found = Verdicts(**json.loads(read_whole(path)))
    except FileNotFoundError:
        return empty
    except (ValueError, TypeError, RecursionError, SettingError) as error:
        raise AnnotationError(
            f"{path.name}: no file of verdicts that this version can read ({error}); move it away, "
            "so that a new one can be begun"
        ) from error
    except OSError as error:
        raise AnnotationError(
            f"{path.name}: the verdicts cannot be read ({error.strerror or 'no reason given'}); "
            "look whether you may read that folder"
        ) from error
    if found.slide_fingerprint != empty.slide_fingerprint:
        raise AnnotationError(
            f"{path.name}: these verdicts are of another slide than the store beside them; move "
            "them to the store that they belong to"
        )
    return found


def add_verdict(run: Run, key: str, place: Hotspot, said: Said, note: str = "") -> Verdict:
    """Say something of a place of a map, and keep it.

    Parameters
    ----------
    run, key
        The map.
    place
        From `hotspots`, `hotspot_at` or `measured_place`.
    said
        ``agree``: the model looks at what it should; ``artefact``: at something that is none of
        the tissue's; ``wrong``: at tissue that says something else.
    note
        A sentence. Do not write names.

    Returns
    -------
    Verdict
        As it is kept.

    Raises
    ------
    SettingError
        If there is no such verdict, or the note is too long.
    UnknownNameError
        If there is no such map.
    AnnotationError
        If the file beside the store cannot be read or written.
    """
    verdict = Verdict(
        polygons=place.polygons,
        said=said,
        note=note,
        map=key,
        class_name=run.maps[key].target,
        mean=place.mean,
        peak=place.peak,
        area_um2=place.area_um2,
        percentile=place.percentile,
    )
    _change(run, lambda before: (*before, verdict))
    return verdict


def change_verdict(run: Run, id: str, said: Said, note: str) -> Verdicts:
    """Say something else of a place.

    Raises
    ------
    SettingError
        If there is no such verdict.
    AnnotationError
        As for `add_verdict`.
    """

    def changed(one: Verdict) -> Verdict:
        return Verdict(**{**dict(one), "said": said, "note": note}) if one.id == id else one

    return _change(run, lambda before: tuple(map(changed, before)), id)


def remove_verdict(run: Run, id: str) -> Verdicts:
    """Take back what was said of a place.

    Raises
    ------
    SettingError, AnnotationError
        As for `change_verdict`.
    """
    return _change(run, lambda before: tuple(one for one in before if one.id != id), id)


def verdicts_as_annotations(verdicts: Verdicts) -> Annotations:
    """Verdicts as QuPath shows them: the class is what was said, the name says of what."""
    items = []
    for one in verdicts.verdicts:
        measured = {"mean saliency": one.mean, "peak saliency": one.peak}
        properties = {
            "objectType": "annotation",
            "measurements": {k: v for k, v in measured.items() if v is not None},
            "note": one.note,
            "map": one.map,
            "class": one.class_name,
            "made": one.made.isoformat(),
        }
        rest = {"properties": properties}
        colour, name = COLOURS[one.said], one.note or one.class_name
        items.append(Annotation(one.geometry, one.said, colour, name, one.id, rest))
    return Annotations(tuple(items), "geojson")


def verdicts_as_csv(verdicts: Verdicts) -> str:
    """A table with a row a verdict: see `COLUMNS`."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    mpp_y, mpp_x = verdicts.mpp
    for one in verdicts.verdicts:
        x, y, w, h = one.hotspot.box
        where = (x, y, w, h, (x + w / 2) * mpp_x, (y + h / 2) * mpp_y, one.area_um2)
        values = (one.mean, one.peak, one.map, one.percentile, *where, one.made.isoformat())
        writer.writerow((one.id, one.said, one.class_name, one.note, *values))
    return out.getvalue()


def export_verdicts(verdicts: Verdicts, path: str | os.PathLike[str]) -> Path:
    """Write verdicts as a table (``.csv``) or as annotations (``.geojson``, for QuPath).

    Raises
    ------
    AnnotationError
        If the file's ending says neither, or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        format_of(path)
        return write_annotations(path, verdicts_as_annotations(verdicts))
    _put(path, verdicts_as_csv(verdicts))
    return path


def _change(
    run: Run, change: Callable[[tuple[Verdict, ...]], tuple[Verdict, ...]], id: str | None = None
) -> Verdicts:
    """Read anew, as another window may have said something meanwhile, change, and replace."""
    before = read_verdicts(run)
    if id is not None and id not in {one.id for one in before.verdicts}:
        raise SettingError(f"id = {id!r}: no such verdict; somebody may have removed it meanwhile")
    after = before.model_copy(update={"verdicts": change(before.verdicts)})
    _put(verdicts_path(run.path), after.model_dump_json(indent=1))
    return after


def _put(path: Place, text: str) -> None:
    try:
        with replaced_at_once(path) as part:
            part.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        why = error.strerror or "no reason given"
        raise AnnotationError(
            f"{path.name}: it cannot be written ({why}); look whether you may write to that folder"
        ) from error
