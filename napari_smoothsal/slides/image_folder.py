"""ImageFolder: tiles of the images that lie in one folder, of which no class is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from napari_smoothsal.slides.folder_tiles import FolderTiles
from napari_smoothsal.slides.labelled import SUFFIXES


class ImageFolder:
    """Tiles without labels.

    Parameters
    ----------
    folder
        With images; what lies in its sub-folders does not count.
    side, scale, shorter_side
        See `FolderTiles`; tiles are cut from the middle.
    """

    def __init__(
        self, folder: Path, side: int, scale: float = 1.0, shorter_side: int | None = None
    ) -> None:
        self._tiles = FolderTiles(_images(folder), side, scale, shorter_side)

    def __len__(self) -> int:
        return len(self._tiles)

    def name(self, index: int) -> str:
        """A tile's file."""
        return self._tiles.files[index].name

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """(n, 3, side, side) uint8."""
        return self._tiles.draw(indices, None)


def holds_images(folder: Path) -> bool:
    """Whether images lie in a folder itself, not just in sub-folders."""
    return folder.is_dir() and bool(_images(folder))


def _images(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file())
