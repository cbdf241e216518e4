"""A manifest: a CSV table of slides, with what is particular to each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from napari_smoothsal.core.errors import SettingError, SmoothsalError
from napari_smoothsal.core.settings import Settings, problems_of
from napari_smoothsal.models.loading import check_source

SUFFIX = ".csv"
FINEST_MPP, COARSEST_MPP = 0.01, 100.0
"""Micrometres per pixel of level 0 that a microscope may have; others are of another unit."""
_MOST_TOLD = 10
"""Problems of one file that a message lists."""


class ManifestRow(Settings):
    """One slide of a manifest. Paths are absolute here, and relative to the manifest in the file.

    Raises
    ------
    SettingError
        Where a value cannot work.
    """

    schema_version: Literal[1] = Field(1, repr=False)
    slide: str = Field(min_length=1, description="Slide file, folder of one DICOM slide, or URL.")
    mpp: float | None = Field(
        None,
        ge=FINEST_MPP,
        le=COARSEST_MPP,
        description="Micrometres per pixel of level 0, if the file is wrong.",
    )
    region: tuple[int, int, int, int] | None = Field(
        None, description="x,y,w,h in level-0 px, in quotes; empty: the whole slide."
    )
    mask: str | None = Field(
        None, description="Tissue: a GeoJSON file in level-0 px, or a mask image."
    )
    model: str | None = Field(
        None, description="Model, by name, folder or LIBRARY:NAME:FILE; empty: the command's."
    )

    @field_validator("region", mode="before")
    @classmethod
    def _four_numbers(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            x, y, w, h = (int(part) for part in value.split(","))
        except ValueError:
            raise ValueError(
                'give "x,y,w,h", four whole numbers in level-0 px, in quotes'
            ) from None
        if w <= 0 or h <= 0:
            raise ValueError("give a width and a height above 0, as the third and fourth number")
        if x + w <= 0 or y + h <= 0:
            raise ValueError("give a region that has a part on the slide, whose corner is 0,0")
        return (x, y, w, h)


COLUMNS = tuple(name for name in ManifestRow.model_fields if name != "schema_version")


def is_manifest(path: str | Path) -> bool:
    """Whether a path is taken for a manifest: it ends in ``.csv``."""
    return Path(path).suffix.lower() == SUFFIX


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """Read and check a manifest.

    Parameters
    ----------
    path
        UTF-8 CSV with a header; its columns are separated by commas, semicolons or tabs. ``slide``
        is needed, ``mpp``, ``region``, ``mask`` and ``model`` may be left away or empty.

    Returns
    -------
    list of ManifestRow
        In the order of the lines.

    Raises
    ------
    SettingError
        With the line of everything that cannot work: unknown columns, missing files, values that
        are no numbers, lines that say the same.
    """
    file = Path(path)
    reader = _reader(file)
    problems: list[str] = []
    rows: dict[ManifestRow, int] = {}
    for line, cells in _lines(reader):
        if None in cells:
            problems.append(
                f"line {line} has more cells than the header; put a region into quotes, as in "
                '"0,0,512,512"'
            )
            continue
        try:
            row = ManifestRow(**_resolved(cells, file.parent))
        except SettingError as error:
            problems.append(f"line {line}: {_said(error)}")
            continue
        problems += [f"line {line}: {missing}" for missing in _missing(row, cells)]
        if (first := rows.setdefault(row, line)) != line:
            problems.append(f"line {line} says the same as line {first}; leave one of them away")
    if problems:
        more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        raise SettingError(f"manifest {file.name}: {'; '.join(problems[:_MOST_TOLD])}{more}")
    if not rows:
        raise SettingError(f"manifest {file.name} lists no slide; give one a line below the header")
    return list(rows)


def _reader(file: Path) -> csv.DictReader[str]:
    """Of the file's lines, once its header is checked."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingError(f"manifest {file.name}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise SettingError(f"manifest {file.name} is not UTF-8; save it as CSV UTF-8") from error
    header = text.partition("\n")[0]
    delimiter = next((mark for mark in ";\t" if mark in header), ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise SettingError(f"manifest {file.name}, line 1: {error}; mend its quotes") from error
    reader.fieldnames = names
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "slide" not in names or len(set(names)) < len(names):
        wrong = f"there is no column {unknown[0]!r}" if unknown else "name each column once"
        what = wrong if "slide" in names else "the header has no column 'slide'"
        raise SettingError(
            f"manifest {file.name}, line 1: {what}; columns are {', '.join(COLUMNS)}, of which "
            "slide is needed"
        )
    return reader


def _lines(reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Lines that say something, with their numbers in the file."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SettingError(
                f"manifest, line {reader.line_num}: {error}; mend its quotes"
            ) from error
        if any(value and str(value).strip() for value in cells.values()):
            yield reader.line_num, cells


def _resolved(cells: Mapping[str, str | None], folder: Path) -> dict[str, str]:
    """What is said, with paths that start at the manifest's folder."""
    said = {name: value.strip() for name, value in cells.items() if value and value.strip()}
    for name in ("slide", "mask"):
        if name in said and not _is_url(said[name]):
            said[name] = str(folder / said[name])
    # A model may be a name, too.
    if "model" in said and (folder / said["model"]).exists():
        said["model"] = str(folder / said["model"])
    return said


def _missing(row: ManifestRow, cells: Mapping[str, str | None]) -> Iterator[str]:
    for name in ("slide", "mask"):
        place = getattr(row, name)
        if place is not None and not _is_url(place) and not Path(place).exists():
            yield (
                f"{name} {Path(str(cells[name])).name!r} is not there; give its path from the "
                "manifest's folder"
            )
    if row.model is not None:
        try:
            check_source(row.model)
        except SmoothsalError as error:
            yield str(error)


def _said(error: SettingError) -> str:
    cause = error.__cause__
    return (
        "; ".join(map(str, problems_of(cause)))
        if isinstance(cause, ValidationError)
        else str(error)
    )


def _is_url(place: str) -> bool:
    return "://" in place
