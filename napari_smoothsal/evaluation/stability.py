"""Stability: is the map of a tile that looks a little different the same?

Two changes that no pathologist would notice: a little more or less of each dye, and a tile cut a
few px beside. Maps of shifted tiles are shifted back; what the border hides of either is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.checks import StabilityCheck
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.kept_class import (
    kept_target,
    named,
    one_precision,
    parts_by_class,
    reduced_maps,
)
from napari_smoothsal.evaluation.map_similarity import similarity
from napari_smoothsal.evaluation.paper import Tiles, Told
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Model

STAIN, SHIFT = "stain", "shift"


def stability(
    model: Model,
    tiles: Tiles,
    specs: Sequence[SaliencySpec],
    how: StabilityCheck,
    compute: Compute,
    told: Told = lambda *_: None,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Compare maps of tiles with those of the same tiles, stained and cut a little otherwise.

    Parameters
    ----------
    model, tiles, specs
        What is explained; ``target`` unset or "auto" is the class that the model predicts for the
        tile as it is.
    how
        How tiles are changed: both dyes to either side, and shifts in four directions, where
        mirror images complete what is missing at the border.
    compute
        On what; ``precision="auto"`` is fp32.
    told
        Called as it goes on.
    stop
        Asked before every pass.

    Returns
    -------
    pandas.DataFrame
        One row per tile, map and change: ``tile``, ``layer``, ``method``, ``denoising``,
        ``change`` (`STAIN` or `SHIFT`), ``by`` (the factors of both dyes, or px down and right),
        and the measures of `Similarity`.

    Raises
    ------
    Stopped
        Once ``stop`` answers True.
    """
    compute = one_precision(compute)
    specs = Explainer(model, list(specs), compute, "tiles", warn=False).specs
    rows: list[dict[str, object]] = []
    parts = list(parts_by_class(model, tiles, compute))
    done, total = 0, sum(1 + len(list(_changes(model, specs, how))) for _ in parts)
    for label, indices in parts:
        images = tiles.images(indices)
        asked = [kept_target(model, spec, label) for spec in specs]
        told("stability", done, total)
        own = reduced_maps(model, asked, images, indices, compute, label, stop)
        done += 1
        for change in _changes(model, asked, how):
            told("stability", done, total)
            chosen = [asked[n] for n in change.specs]
            found = reduced_maps(model, chosen, change.of(images), indices, compute, label, stop)
            done += 1
            about = {"change": change.kind, "by": change.by}
            for number, maps in zip(change.specs, found, strict=True):
                for index, one, other in zip(indices, own[number], maps, strict=True):
                    compared = similarity(*_overlap(one, other, change.layer_px))._asdict()
                    rows.append(
                        {"tile": tiles.name(index)} | named(specs[number]) | about | compared
                    )
    return pd.DataFrame(rows)


class _Change(NamedTuple):
    """One change of a tile, and the specs whose maps are compared."""

    kind: str
    by: tuple[float, float]
    layer_px: tuple[int, int]
    specs: list[int]

    def of(self, images: torch.Tensor) -> torch.Tensor:
        if self.kind == STAIN:
            return stained(images, *self.by)
        return shifted(images, (round(self.by[0]), round(self.by[1])))


def _changes(model: Model, specs: Sequence[SaliencySpec], how: StabilityCheck) -> Iterator[_Change]:
    factors = (1 - how.stain, 1 + how.stain)
    for by in product(factors, factors):
        yield _Change(STAIN, by, (0, 0), list(range(len(specs))))
    for layer in dict.fromkeys(spec.layer for spec in specs):
        members = [n for n, spec in enumerate(specs) if spec.layer == layer]
        stride = model.layer(layer).stride
        for axis, sign in product((0, 1), (1, -1)):
            steps = sign * math.ceil(how.shift_px / stride[axis])
            px = round(steps * stride[axis])
            along = (0, 1) if axis else (1, 0)
            by, moved = (px * along[0], px * along[1]), (steps * along[0], steps * along[1])
            yield _Change(SHIFT, by, moved, members)


def shifted(images: torch.Tensor, by: tuple[int, int]) -> torch.Tensor:
    """Images (n, C, H, W) moved down and right by whole px; mirror images complete them."""
    y, x = by
    rim = ((0, 0), (0, 0), (max(y, 0), max(-y, 0)), (max(x, 0), max(-x, 0)))
    height, width = images.shape[2:]
    wide = np.pad(images.numpy(), rim, mode="reflect")
    top, left = max(-y, 0), max(-x, 0)
    cut = wide[:, :, top : top + height, left : left + width]
    return torch.from_numpy(np.ascontiguousarray(cut))


def _overlap(
    one: NDArray[np.float32], moved: NDArray[np.float32], by: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What both maps show, the second moved down and right by so many of its px."""
    (y, x), (height, width) = by, one.shape
    there = moved[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    here = one[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    return here, there
