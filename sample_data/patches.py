"""Real patches for training and testing: 60 H&E patches of Camelyon16 (CC0), read, never copied.

They lie in ``$SMOOTHSAL_DATA/patches/{normal,tumor}`` and come from
https://github.com/DIDSR/DeepLearningCamelyon_II. A file name is the source slide and a place
on it: ``tumor_064_18066_120787.png``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_smoothsal.core.errors import SmoothsalError

VARIABLE = "SMOOTHSAL_DATA"
CLASS_FOLDERS = ("normal", "tumor")
HELD_OUT_PER_CLASS = 10
NEIGHBOUR_PX = 512


@dataclass(frozen=True)
class Patch:
    """One real patch: its name, label (1 for tumour), source slide, place and pixels."""

    name: str
    label: int
    slide: str
    place: tuple[int, int]
    image: NDArray[np.uint8]


def load_patches(folder: Path | None = None) -> list[Patch]:
    """All patches, sorted by class and name.

    Parameters
    ----------
    folder
        Holds ``normal`` and ``tumor``; by default ``$SMOOTHSAL_DATA/patches``.

    Raises
    ------
    SmoothsalError
        If the variable is unset or a class has no patches.
    """
    if folder is None:
        if not os.environ.get(VARIABLE):
            raise SmoothsalError(
                f"the environment variable {VARIABLE} is not set; point it at a folder with "
                "patches/normal and patches/tumor (PNG files of DIDSR/DeepLearningCamelyon_II)"
            )
        folder = Path(os.environ[VARIABLE]) / "patches"
    patches = []
    for label, name in enumerate(CLASS_FOLDERS):
        files = sorted((folder / name).glob("*.png"))
        if not files:
            raise SmoothsalError(f"no PNG files in {folder.name}/{name}; expected 30 patches")
        for file in files:
            prefix, number, x, y = file.stem.split("_")
            with Image.open(file) as opened:
                image = np.asarray(opened.convert("RGB"))
            patches.append(Patch(file.stem, label, f"{prefix}_{number}", (int(x), int(y)), image))
    return patches


def split_patches(patches: list[Patch]) -> tuple[list[Patch], list[Patch]]:
    """Patches to train on, and 10 of each class to test on, by a rule fixed beforehand.

    Patches of one slide that lie within 512 px of each other (directly or through others) stay
    together, since they may show the same cells. Within each class the clusters, sorted by name,
    are gone through in steps of three, from the second, then from the third; a cluster is held
    out if it fits into the 10.
    """
    training: list[Patch] = []
    held_out: list[Patch] = []
    for label in range(len(CLASS_FOLDERS)):
        groups = _neighbourhoods([patch for patch in patches if patch.label == label])
        room = HELD_OUT_PER_CLASS
        chosen = set()
        for index in [*range(1, len(groups), 3), *range(2, len(groups), 3)]:
            if len(groups[index]) <= room:
                chosen.add(index)
                room -= len(groups[index])
        for index, group in enumerate(groups):
            (held_out if index in chosen else training).extend(group)
    return training, held_out


def _neighbourhoods(patches: list[Patch]) -> list[list[Patch]]:
    """Clusters of patches that overlap or nearly do, sorted by their first name."""
    groups: list[list[Patch]] = []
    for patch in sorted(patches, key=lambda p: p.name):
        near = [group for group in groups if any(_near(patch, other) for other in group)]
        merged = [patch, *(other for group in near for other in group)]
        groups = [group for group in groups if not any(group is other for other in near)]
        groups.append(sorted(merged, key=lambda p: p.name))
    return sorted(groups, key=lambda group: group[0].name)


def _near(one: Patch, other: Patch) -> bool:
    return one.slide == other.slide and all(
        abs(a - b) < NEIGHBOUR_PX for a, b in zip(one.place, other.place, strict=True)
    )


def at_half_resolution(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The patch at twice the mpp and the same size in pixels; its mirror image fills the rim."""
    rim = image.shape[0] // 2
    wide = np.pad(image, ((rim, rim), (rim, rim), (0, 0)), mode="symmetric")
    blocks = wide.reshape(image.shape[0], 2, image.shape[1], 2, 3)
    return np.asarray(blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def centre_crop(image: NDArray[np.uint8], side: int = 224) -> NDArray[np.uint8]:
    """The middle ``side`` x ``side`` pixels."""
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]
