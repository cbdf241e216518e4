"""How good a segmenter is: on unseen synthetic tiles, the sample slide, and real patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from openslide import OpenSlide
from skimage.draw import polygon
from torch import nn

from napari_smoothsal.evaluation.overlap import Overlap, confusion
from napari_smoothsal.sample_data.masks import CLASS_NAMES
from napari_smoothsal.sample_data.patches import Patch
from napari_smoothsal.sample_data.pseudo_masks import inner, pseudo_masked_patches
from napari_smoothsal.sample_data.segmentation_tiles import render_masked_tiles
from napari_smoothsal.sample_data.training import TEST_SEED, as_tensor, normalised

TEST_TILES = 120
"""Synthetic test tiles of 256 px."""
_TILE_PX, _RIM_PX = 1536, 128
_FOLDER = Path(__file__).parent


@torch.no_grad()
def segment(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Predicted class of each pixel (N, H, W) of images (N, H, W, 3), sides multiples of 32."""
    model.eval()
    parts = [
        model(normalised(part.float() / 255)).argmax(dim=1) for part in as_tensor(images).split(4)
    ]
    return torch.cat(parts).numpy().astype(np.uint8)


def segment_slide(model: nn.Module, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Predicted class of each pixel (H, W) of a whole slide (H, W, 3), tile by tile.

    Of each tile of 1536 px the outer 128 px are left to its neighbours.
    """
    kept = _TILE_PX - 2 * _RIM_PX
    height, width = image.shape[:2]
    ends = [(_RIM_PX, _RIM_PX + -side % kept) for side in (height, width)]
    padded = np.pad(image, [*ends, (0, 0)], mode="reflect")
    mask = np.zeros((height, width), np.uint8)
    for top in range(0, height, kept):
        for left in range(0, width, kept):
            tile = padded[top : top + _TILE_PX, left : left + _TILE_PX]
            found = segment(model, tile[None])[0, _RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX]
            place = mask[top : top + kept, left : left + kept]
            place[:] = found[: place.shape[0], : place.shape[1]]
    return mask


def sample_slide() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (H, W, 3) of the sample slide, and its mask (H, W) from the GeoJSON's outlines.

    These have 8 or 14 vertices at whole pixels, so that the mask is a little coarser than the
    nuclei that were painted.
    """
    with OpenSlide(_FOLDER / "sample_slide.tif") as slide:
        image = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
        width, height = slide.dimensions
    truth = json.loads((_FOLDER / "sample_slide.geojson").read_text(encoding="utf-8"))
    mask = np.zeros((height, width), np.uint8)
    for feature in truth["features"]:
        name = feature["properties"]["classification"]["name"]
        if name in CLASS_NAMES:
            # Whole numbers lie on the edges of pixels; skimage has pixel k's centre at k.
            x, y = np.array(feature["geometry"]["coordinates"][0]).T - 0.5
            rows, columns = polygon(y, x, mask.shape)  # type: ignore[no-untyped-call]
            mask[rows, columns] = CLASS_NAMES.index(name)
    return image, mask


def figures(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> dict[str, Any]:
    """Dice of each class over masks (N, H, W), pooled and as the mean over tiles, with n."""
    pairs = zip(truth, predicted, strict=True)
    tables = np.stack([confusion(*pair, CLASS_NAMES) for pair in pairs])
    measured = Overlap(CLASS_NAMES, tables)
    return {
        "dice": _named(measured.pooled),
        "mean_dice_of_tiles": _named(measured.mean_of_tiles),
        "n": len(tables),
    }


def _named(values: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(v), 4) for name, v in zip(CLASS_NAMES, values, strict=True)}


def measure(model: nn.Module, patches: list[Patch]) -> dict[str, Any]:
    """Dice of the classes on everything that is measured; ``patches`` were not trained on."""
    images, masks = render_masked_tiles(TEST_SEED, TEST_TILES)
    found: dict[str, Any] = {"synthetic_unseen_0.5_mpp": figures(masks, segment(model, images))}
    image, mask = sample_slide()
    found["sample_slide"] = {"dice": figures(mask[None], segment_slide(model, image)[None])["dice"]}
    images, masks = pseudo_masked_patches(patches)
    found["real_held_out_pseudo_masks"] = figures(inner(masks), inner(segment(model, images)))
    return found
