"""Images in folders, and with masks from two folders: what a segmentation is measured against."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_smoothsal.core.errors import SlideError

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}
LARGEST_PX = 2**26


@dataclass(frozen=True)
class MaskedTile:
    """One image and its mask.

    Attributes
    ----------
    name
        Base name of the files.
    image
        uint8 (H, W, 3).
    mask
        Integer labels (H, W).
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.integer[Any]]


def masked_tiles(images: Path, masks: Path) -> Iterator[MaskedTile]:
    """Images of a folder, sorted by name, each with the mask of the same base name.

    Parameters
    ----------
    images, masks
        Folders, with sub-folders of the same names or without. Masks have one channel of class
        indices; a palette's indices count, not its colours.

    Raises
    ------
    SlideError
        If a folder is missing or has no images, an image has no mask, or a file is no image or
        larger than 67 megapixels, or a mask has colours instead of labels.
    """
    for pair in masked_pairs(images, masks):
        yield pair.read()


class MaskedPair(NamedTuple):
    """Files of an image and of its mask.

    Attributes
    ----------
    name
        Base name of both, with the sub-folders they are in.
    image, mask
        Their paths.
    """

    name: str
    image: Path
    mask: Path

    def read(self) -> MaskedTile:
        """Both files; raises SlideError where one cannot be read."""
        return MaskedTile(self.name, read_picture(self.image), _labels(self.mask))


def masked_pairs(images: Path, masks: Path) -> list[MaskedPair]:
    """The files that `masked_tiles` reads; raises SlideError where one of them is missing."""
    labels = _files(masks)
    # Masks may lie in a sub-folder of the images.
    own = masks.resolve()
    pictures = {n: f for n, f in _files(images).items() if own not in f.resolve().parents}
    missing = sorted(pictures.keys() - labels.keys())
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SlideError(
            f"{missing[0]!r}{more} of {images.name!r} has no mask of the same base name in "
            f"{masks.name!r}"
        )
    return [MaskedPair(name, pictures[name], labels[name]) for name in sorted(pictures)]


def _files(folder: Path) -> dict[str, Path]:
    """By their place in the folder, without suffix."""
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in images_in(folder)}


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder and of all its sub-folders, sorted.

    Every folder of images is read by this, with labels, with masks or with neither. Files and
    folders whose names begin with a dot are left out: previews and the like.

    Raises
    ------
    SlideError
        If there are none.
    """
    if not folder.is_dir():
        raise SlideError(f"there is no folder {folder.name!r}")
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not found:
        raise SlideError(
            f"folder {folder.name!r} has no images; give {', '.join(sorted(SUFFIXES))}"
        )
    return found


def read_picture(path: Path) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) of an image file; raises SlideError where it cannot be read."""
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"))


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) that an image file says it has; raises SlideError as `read_picture`."""
    with _opened(path, load=False) as image:
        return image.height, image.width


def _labels(path: Path) -> NDArray[np.integer[Any]]:
    with _opened(path) as image:
        labels = np.asarray(image)
    if labels.dtype == np.bool_:
        return labels.astype(np.uint8)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise SlideError(
            f"{path.name}: a mask has one channel of class indices; this file has "
            f"{labels.ndim} dimensions of {labels.dtype}"
        )
    return labels


def _opened(path: Path, *, load: bool = True) -> Image.Image:
    if not path.exists():
        raise SlideError(f"there is no file {path.name!r}")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the limit below is lower, and an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
            if image.width * image.height > LARGEST_PX:
                raise SlideError(
                    f"{path.name}: {image.width} x {image.height} px is more than {LARGEST_PX} "
                    "px; cut it into tiles"
                )
            if load:
                image.load()
    except Image.DecompressionBombError as error:
        raise SlideError(f"{path.name}: more than {LARGEST_PX} px; cut it into tiles") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        where = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
        raise SlideError(
            f"{where}: not an image that can be read; repair it, or take it out of the folder"
        ) from error
    return image
