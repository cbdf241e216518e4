"""LabelledFolder: images with one class each, by sub-folder or by a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import torch

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.slides.folder_tiles import FolderTiles
from napari_smoothsal.slides.labelled import images_in

_SYNSET = re.compile(r"n\d{8}")
_LISTED = 10
"""So many classes are named in a message."""


class LabelledFolder:
    """Tiles with the class that each is of.

    Parameters
    ----------
    folder
        One sub-folder per class, of its name, or ImageNet's, one for each class of the model; or
        images, with ``labels``.
    class_names
        Of the model.
    side, scale, shorter_side, resampling
        See `FolderTiles`; tiles are cut from the middle.
    labels
        CSV with the columns ``file`` (relative to the folder) and ``label``: the name of a class,
        or its index.
    renamed
        Class names by the names that stand for them here: ``{"tumor": "tumour"}``.

    Raises
    ------
    SlideError
        If a name is no class of the model, a file is missing, or there are no images.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        side: int,
        scale: float = 1.0,
        *,
        shorter_side: int | None = None,
        labels: Path | None = None,
        renamed: Mapping[str, str] | None = None,
        resampling: Resampling = "area",
    ) -> None:
        names = {name.casefold(): index for index, name in enumerate(class_names)}
        given = {old.casefold(): new for old, new in (renamed or {}).items()}

        def index_of(name: str, where: str) -> int:
            meant = given.get(name.casefold(), name)
            wanted = meant.casefold()
            if wanted in names:
                return names[wanted]
            # Not of sub-folders: those called 1, 2, ... are as often counted from 1.
            if labels is not None and wanted.isdecimal() and int(wanted) < len(class_names):
                return int(wanted)
            near = get_close_matches(wanted, names, 1)
            hint = f"; did you mean --rename {name}={near[0]}?" if near else ""
            said = repr(name) if meant == name else f"{meant!r}, which --rename makes of {name!r},"
            raise SlideError(
                f"{where}: {said} is no class of the model ({_listed(class_names)}){hint}"
            )

        pairs = _table(folder, labels) if labels is not None else _sub_folders(folder)
        if labels is None and not given:
            given = _synsets(folder, class_names)
        found = [(path, index_of(name, where)) for path, name, where in pairs]
        if not found:
            raise SlideError(
                f"folder {folder.name!r} has no sub-folders with images; give one for each class, "
                "or --labels CSV"
            )
        self.labels = [label for _, label in found]
        self._folder = folder
        self._tiles = FolderTiles([p for p, _ in found], side, scale, shorter_side, resampling)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def completed(self) -> int:
        """How many of the images read so far are smaller than a tile, and were mirrored."""
        return len(self._tiles.completed)

    def name(self, index: int) -> str:
        """A tile's file, from the folder on: base names repeat among classes."""
        return self._tiles.files[index].relative_to(self._folder).as_posix()

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, 3, side, side) uint8."""
        return self._tiles.draw(indices, None)


def _listed(class_names: Sequence[str]) -> str:
    more = len(class_names) - _LISTED
    return ", ".join(class_names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _synsets(folder: Path, class_names: Sequence[str]) -> dict[str, str]:
    """ImageNet's sub-folders (n01440764, ...) in alphabetical order are its classes in order."""
    names = sorted(f.name for f in folder.iterdir() if f.is_dir()) if folder.is_dir() else []
    if len(names) != len(class_names) or not all(_SYNSET.fullmatch(name) for name in names):
        return {}
    return dict(zip(names, class_names, strict=True))


def _sub_folders(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for path in images_in(folder):
        if path.parent != folder:
            name = path.relative_to(folder).parts[0]
            yield path, name, f"sub-folder of {folder.name!r}"


def _table(folder: Path, table: Path) -> Iterator[tuple[Path, str, str]]:
    if not table.is_file():
        raise SlideError(f"there is no table {table.name!r}")
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            columns, rows = reader.fieldnames or (), list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise SlideError(f"{table.name!r} is no CSV in UTF-8: {error}") from error
        if not {"file", "label"} <= set(columns):
            raise SlideError(
                f"{table.name!r} has the columns {', '.join(columns)}; it needs 'file' and 'label'"
            )
        for number, row in enumerate(rows, start=2):
            if not row["file"] or not row["label"]:
                raise SlideError(
                    f"{table.name!r}, line {number}: needs a file and a label; it has "
                    f"{row['file']!r} and {row['label']!r}"
                )
            path = folder / row["file"]
            if not path.is_file():
                raise SlideError(
                    f"{table.name!r}, line {number}: there is no {row['file']!r} in {folder.name!r}"
                )
            yield path, row["label"], f"{table.name!r}, line {number}"
