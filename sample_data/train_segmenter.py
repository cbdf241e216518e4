"""Train the demonstration segmenter: background, normal or tumour nucleus, for every pixel.

``SMOOTHSAL_DATA=... python -m napari_smoothsal.sample_data.train_segmenter [FOLDER]``

On synthetic tiles with exact masks, and on real patches with guessed ones (see
``pseudo_masks``). Everything is measured on what was not trained on, and the figures go into the
model card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_smoothsal.evaluation.overlap import IGNORED
from napari_smoothsal.sample_data.augmentation import augment_with_masks
from napari_smoothsal.sample_data.masks import CLASS_NAMES
from napari_smoothsal.sample_data.model_folder import (
    REAL_PATCHES,
    build,
    chosen_folder,
    write_model,
)
from napari_smoothsal.sample_data.patches import Patch, load_patches, split_patches
from napari_smoothsal.sample_data.pseudo_masks import pseudo_masked_patches
from napari_smoothsal.sample_data.segmentation_measuring import measure
from napari_smoothsal.sample_data.segmentation_tiles import MPP, render_masked_tiles
from napari_smoothsal.sample_data.training import (
    MEAN,
    SEED,
    STD,
    Schedule,
    as_tensor,
    make_deterministic,
    render_all,
    train,
)

NAME = "demo-segmenter"
ARCHITECTURE = {
    "library": "napari_smoothsal",
    "name": "narrow_unet",
    "width": 16,
    "num_classes": len(CLASS_NAMES),
    "decoder_channels": (64, 32, 16, 16, 8),
    "upsampling": "nearest",
}
TRAINING_TILES = 640
SYNTHETIC_SHARE = 3  # to one of real patches, whose masks are guessed
SCHEDULE = Schedule(steps=800, rate=3e-3, seed=SEED, side=160, batch=16)
"""Crops are smaller than the tiles it is for: the network sees 80 um around a nucleus."""
_CHUNK = 32
NOTES = (
    "Dice is pooled over all pixels; the mean over tiles is over those that have the class, where "
    "a sliver of a nucleus at the edge counts as much as a tile full of them. The sample slide's "
    "background is mostly glass, and its outlines have 8 or 14 vertices at whole pixels. There "
    "are no outlines of real nuclei: the pseudo-masks are haematoxylin (colour deconvolution) "
    "above Otsu's threshold, with the class of the patch, doubtful pixels left out; they were "
    "trained on too, so that the figures against them show agreement with a rule of thumb on "
    "other patches of the same four slides, and are no accuracy. On real tissue expect pale "
    "nuclei to break up and the class to be wrong where the stain or tissue is new."
)


@dataclass(frozen=True)
class MaskedTiles:
    """Tiles to draw from: uint8 (N, 3, H, W) and masks uint8 (N, H, W)."""

    images: Tensor
    masks: Tensor

    def draw(self, count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` augmented tiles of ``side`` px, and their masks moved with them."""
        index = torch.randint(len(self.images), (count,), generator=generator)
        return augment_with_masks(self.images[index], self.masks[index], side, generator)


def synthetic_pool() -> MaskedTiles:
    """Synthetic training tiles; their seeds count up from 0."""
    tasks = [(first, _CHUNK) for first in range(0, TRAINING_TILES, _CHUNK)]
    images, masks = render_all(render_masked_tiles, tasks)
    return MaskedTiles(as_tensor(images), torch.from_numpy(masks))


def real_pool(patches: list[Patch]) -> MaskedTiles:
    """Real patches reduced to 0.5 um per pixel, with their pseudo-masks."""
    images, masks = pseudo_masked_patches(patches)
    return MaskedTiles(as_tensor(images), torch.from_numpy(masks))


def loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross entropy plus one minus the mean soft Dice of the classes.

    Dice is of the whole batch (Milletari et al., 3DV 2016); it keeps the rarer nuclei from being
    outvoted by background.

    Parameters
    ----------
    logits
        (B, classes, H, W).
    masks
        int64 (B, H, W); ``IGNORED`` pixels count for nothing.
    """
    known = masks != IGNORED
    shares = logits.softmax(dim=1) * known[:, None]
    truth = F.one_hot(masks.where(known, 0), logits.shape[1]).movedim(-1, 1) * known[:, None]
    common = (shares * truth).sum(dim=(0, 2, 3))
    sizes = shares.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    dice = (2 * common + 1) / (sizes + 1)
    return F.cross_entropy(logits, masks, ignore_index=IGNORED) + 1 - dice.mean()


def card_fields(metrics: dict[str, Any]) -> dict[str, Any]:
    """Fields of the card; see `model_folder.write_model`."""
    return {
        "name": NAME,
        "kind": "segmentation",
        "class_names": CLASS_NAMES,
        "class_colours": ("#7f7f7f", "#2979ff", "#00c853"),
        "default_target": "tumour nucleus",
        "background": "background",
        "input_size": 1536,
        "input_mpp": MPP,
        "mean": MEAN,
        "std": STD,
        "architecture": ARCHITECTURE,
        "training_data": (
            f"{TRAINING_TILES} synthetic H&E tiles made by "
            "napari_smoothsal.sample_data.segmentation_tiles at 0.5 um per pixel, with exact "
            "masks, and, one tile in four, pseudo-masks of 40 "
            + REAL_PATCHES.format(reduced=", reduced to 0.5")
        ),
        "metrics": metrics,
        "notes": NOTES,
    }


def main() -> None:
    """Train, measure and write the model."""
    folder = chosen_folder(__doc__, NAME)
    make_deterministic()
    torch.manual_seed(SEED)
    training, held_out = split_patches(load_patches())
    print("rendering the synthetic training tiles")
    synthetic = synthetic_pool()
    real = real_pool(training)
    model = build(ARCHITECTURE)
    print("synthetic tiles, and real patches with pseudo-masks")
    train(model, [synthetic] * SYNTHETIC_SHARE + [real], loss, SCHEDULE)
    found = measure(model, held_out)
    write_model(folder, model, card_fields(found))
    print(found)


if __name__ == "__main__":
    main()
