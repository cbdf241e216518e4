"""ImageFolder: tiles of the images in a folder, of which no class is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.slides.folder_tiles import FolderTiles
from napari_smoothsal.slides.labelled import images_in


class ImageFolder:
    """Tiles without labels.

    Parameters
    ----------
    folder
        With images, in sub-folders or not.
    side, scale, shorter_side, resampling
        See `FolderTiles`; tiles are cut from the middle.
    files
        Those of the folder's that are wanted; None: all.
    """

    def __init__(
        self,
        folder: Path,
        side: int,
        scale: float = 1.0,
        shorter_side: int | None = None,
        files: Sequence[Path] | None = None,
        resampling: Resampling = "area",
    ) -> None:
        self._folder = folder
        files = images_in(folder) if files is None else files
        self._tiles = FolderTiles(files, side, scale, shorter_side, resampling)

    def __len__(self) -> int:
        return len(self._tiles)

    @property
    def completed(self) -> int:
        """How many of the images read so far are smaller than a tile, and were mirrored."""
        return len(self._tiles.completed)

    def name(self, index: int) -> str:
        """A tile's file, from the folder on."""
        return self._tiles.files[index].relative_to(self._folder).as_posix()

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, 3, side, side) uint8."""
        return self._tiles.draw(indices, None)


def is_unlabelled(folder: Path, class_names: Sequence[str]) -> bool:
    """Whether images lie in a folder itself, not just in sub-folders, which are classes then.

    Raises
    ------
    SlideError
        If they do both.
    """
    files = images_in(folder)
    loose = [file for file in files if file.parent == folder]
    classes = {file.relative_to(folder).parts[0] for file in files} & set(class_names)
    if loose and classes:
        raise SlideError(
            f"folder {folder.name!r} has {loose[0].name!r} beside the folders of classes "
            f"{', '.join(sorted(classes))}; move it into one of them, or away"
        )
    return bool(loose)
