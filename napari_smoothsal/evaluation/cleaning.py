"""Tiles without an artefact: what a model that was misled by it is trained again on.

What is at a place is found and painted over with what surrounds it. What is everywhere in a
tile cannot be taken out; there all tiles are made alike, those without it, too, so that nothing
is left to tell them apart by. A rim is replaced in all of them, for one that was missed would tell.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_smoothsal.attribution.fills import inpainted
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.evaluation.artefacts import ARTEFACTS

_GROWN_PX = 2
_RIM = 1 / 6
_QUALITY = 10
_MEAN = 0.6


def cleaned(images: torch.Tensor, artefact: str) -> torch.Tensor:
    """Tiles without one of the `ARTEFACTS`.

    Parameters
    ----------
    images
        (n, 3, H, W) uint8.
    artefact
        Its name.

    Returns
    -------
    torch.Tensor
        (n, 3, H, W) uint8. Of ``ink``, ``text`` and ``stripe``: what is found is inpainted. Of
        ``blurred_rim``: the rim, a sixth of the side, shows the mirror image of what is inside.
        Of ``tint``: each channel has the same (geometric) mean in all tiles. Of ``compression``:
        all are compressed by JPEG of quality 10.

    Raises
    ------
    UnknownNameError
        If there is no such artefact.
    SettingError
        If nothing of a tile is left to paint over it with.
    """
    if artefact not in ARTEFACTS:
        raise UnknownNameError("artefact", artefact, list(ARTEFACTS))
    if artefact in _ALIKE:
        tiles = images.movedim(1, -1).numpy()
        alike = np.stack([_ALIKE[artefact](tile) for tile in tiles])
        return torch.from_numpy(alike).movedim(-1, 1).contiguous()
    return torch.stack([_painted_over(image, artefact, n) for n, image in enumerate(images)])


def _painted_over(image: torch.Tensor, artefact: str, number: int) -> torch.Tensor:
    colours = image.movedim(0, -1).numpy().astype(np.float32)
    found = ARTEFACTS[artefact].find(colours)
    if not found.any():
        return image
    hidden = torch.from_numpy(ndimage.binary_dilation(found, iterations=_GROWN_PX))
    if hidden.all():
        raise SettingError(
            f"image {number} is {artefact!r} all over: nothing is left to paint over it with; "
            "leave the image out"
        )
    return inpainted(image.float(), hidden[None])[0].round().to(torch.uint8)


def _mirrored_rim(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    depth = round(_RIM * min(tile.shape[:2]))
    inside = tile[depth:-depth, depth:-depth]
    return np.pad(inside, ((depth, depth), (depth, depth), (0, 0)), mode="reflect")


def _of_one_colour(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    light = (tile.astype(np.float32) + 1) / 256
    # A cast multiplies a channel, and so its geometric mean.
    mean = np.exp(np.log(light).mean((0, 1)))
    return np.asarray(np.clip(np.rint(light / mean * _MEAN * 255), 0, 255), np.uint8)


def _compressed(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(tile).save(file, "JPEG", quality=_QUALITY)
    return np.array(Image.open(file))


_ALIKE: MappingProxyType[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = MappingProxyType(
    {"blurred_rim": _mirrored_rim, "tint": _of_one_colour, "compression": _compressed}
)
