"""What the model gets of one tile: resampled, brought to the card's stain and normalised."""

from __future__ import annotations

import numpy as np
import torch

from napari_smoothsal.attribution import Explainer, Networks
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import placed_layers, plan_tiles
from napari_smoothsal.slides import Slide
from napari_smoothsal.viewer.asked import ShowInput
from napari_smoothsal.viewer.told import InputShown


class NoTileError(SmoothsalError):
    """There is no tissue in view."""


def model_input(request: ShowInput, slide: Slide, model: Model, networks: Networks) -> InputShown:
    """Write the tile in the middle of the region, as an explanation of it would read it.

    Raises
    ------
    NoTileError
        Where the region has no tile with enough tissue.
    """
    asked = request.explain
    explainer = Explainer(
        model, [asked.spec], asked.compute, scope="slide", warn=False, networks=networks
    )
    layers = placed_layers(explainer)
    plan = plan_tiles(slide, model, asked.tiling, layers=layers, region=asked.region)
    if not len(plan):
        raise NoTileError("no tissue in view: the model gets nothing of it")
    x, y, w, h = plan.region
    centres = plan.boxes[:, :2] + plan.boxes[:, 2:] / 2
    middle = np.array((x + w / 2, y + h / 2))
    box = plan.grid.box(int(((centres - middle) ** 2).sum(axis=1).argmin()))
    side = plan.grid.tile_px
    pixels = torch.from_numpy(slide.read_box(box, (side, side), plan.resampling))
    stained = model.stain_normalised(pixels.permute(2, 0, 1)[None]).images
    values = stained[0].permute(1, 2, 0).numpy() / 255.0
    np.save(request.path, ((values - model.card.mean) / model.card.std).astype(np.float32))
    mpp = slide.require_mpp()
    scale = (box.h / side, box.w / side)
    # A pixel that averages s level-0 px is centred (s - 1)/2 behind the first of them.
    first = (box.y + (scale[0] - 1) / 2, box.x + (scale[1] - 1) / 2)
    return InputShown(
        id=request.id,
        path=request.path,
        scale_um=(scale[0] * mpp[0], scale[1] * mpp[1]),
        translate_um=(first[0] * mpp[0], first[1] * mpp[1]),
        um_per_px=scale[0] * mpp[0],
    )
