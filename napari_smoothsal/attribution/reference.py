"""What a network makes of the images that tiles are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from napari_smoothsal.attribution.base import PathMethod
from napari_smoothsal.attribution.baselines import CUSTOM, NORMAL_TISSUE, baseline_of
from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.rescale import Reference, recorded
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.core.errors import SettingError


def baseline_images(batch: Batch, name: str) -> torch.Tensor:
    """(n, C, H, W) normalised; n is 1, the number of tiles, or that of a pool to choose from."""
    network = batch.network
    if name == CUSTOM:
        _, _, given, _ = batch.given
        if given is None:
            raise SettingError(
                "baseline = 'custom' needs the images to compare with: "
                "explain_tiles(..., baselines=images)"
            )
        return network.normalised(given)
    if name == NORMAL_TISSUE:
        model = batch.explainer.model
        if model.normal_tissue is None:
            raise SettingError(
                f"baseline = 'normal_tissue': model {model.card.name!r} brings no tiles of it; put "
                "some into the folder normal/ beside its weights, or choose another baseline"
            )
        pictures = torch.from_numpy(model.behind_stain.normal_tissue).permute(0, 3, 1, 2)
        return network.normalised(_of_size(pictures, batch.images.shape[2], batch.images.shape[3]))
    return network.normalised(baseline_of(name).make(batch.colours(), network.mean))


def reference_of(batch: Batch, walk: Walk, layers: list[str], *, rescales: bool) -> Reference:
    """What a walk's network makes of its baseline, remembered where it is the same for all.

    Parameters
    ----------
    layers
        Whose outputs are wanted.
    rescales
        Whether its nonlinear calls are wanted as well.
    """
    name = walk.baseline
    assert name is not None
    images = baseline_images(batch, name)
    way = walk.way
    pool = way is not None and isinstance(way.method, PathMethod) and way.method.pool(way.options)
    shared = pool if name in (CUSTOM, NORMAL_TISSUE) else baseline_of(name).shared
    given = batch.given[2] if name == CUSTOM else None
    known = batch.explainer.references
    key = (walk, batch.network, tuple(images.shape[2:]), given)  # tensors equal if they are one
    if shared and key in known:
        return known[key]
    run = _recorded_pass if rescales else _plain_passes
    reference = run(batch, walk, layers, images)
    if shared:
        known[key] = reference
    return reference


def _recorded_pass(batch: Batch, walk: Walk, layers: list[str], images: torch.Tensor) -> Reference:
    """One pass, in the order of whose calls they are compared."""
    reference = Reference()
    with torch.enable_grad(), recorded(reference):
        reference.output, reference.activations = _pass(batch, walk, layers, images)
    return reference


@torch.no_grad()
def _plain_passes(batch: Batch, walk: Walk, layers: list[str], images: torch.Tensor) -> Reference:
    """As many as memory asks for: a pool may be large."""

    def run(rows: Sequence[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return _pass(batch, walk, layers, images[rows[0] : rows[-1] + 1])

    parts = [found for _, found in batch.explainer.rows.parts(range(len(images)), run)]
    activations = {name: torch.cat([part[name] for _, part in parts]) for name in layers}
    return Reference([], activations, torch.cat([output for output, _ in parts]))


def _pass(
    batch: Batch, walk: Walk, layers: list[str], images: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The network's output, and those of layers."""
    network = batch.altered(walk)
    with batch.denoised(walk, network), network.captured(layers) as activations:
        output = network.output(images)
    return output.detach(), {name: activations[name].detach() for name in layers}


def _of_size(pictures: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The middle of pictures; mirrored beyond their borders where a tile is larger."""
    for axis, wanted in ((2, height), (3, width)):
        size = pictures.shape[axis]
        if size < wanted:
            mirrored = torch.cat([pictures, pictures.flip(axis)], dim=axis)
            times = [1, 1, 1, 1]
            times[axis] = math.ceil(wanted / mirrored.shape[axis])
            pictures = mirrored.repeat(times)
        start = (pictures.shape[axis] - wanted) // 2
        pictures = pictures.narrow(axis, start, wanted)
    return pictures
