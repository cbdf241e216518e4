"""Label randomisation: does a map depend on what is true, or only on what was learned by heart?

The model's maps are compared with those of a network of the same layout that was trained, to a
high accuracy on its training tiles, on labels that were shuffled (Adebayo et al., Sanity Checks
for Saliency Maps, NeurIPS 2018, section 4.2). It has learned as much, but nothing of the tissue.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.chance import DRAWS
from napari_smoothsal.evaluation.kept_class import (
    kept_target,
    named,
    one_precision,
    parts_by_class,
)
from napari_smoothsal.evaluation.map_similarity import similarity
from napari_smoothsal.evaluation.paper import Tiles, Told
from napari_smoothsal.evaluation.sanity import CHANCE_COLUMNS, LABELS, Found, chance_rows, looks_of
from napari_smoothsal.models import Model


def label_randomisation(
    model: Model,
    shuffled: Model,
    tiles: Tiles,
    specs: Sequence[SaliencySpec],
    compute: Compute,
    *,
    draws: int = DRAWS,
    told: Told = lambda *_: None,
) -> Found:
    """Compare maps of a model with those of one that was trained on shuffled labels.

    Parameters
    ----------
    model
        Trained on what is true.
    shuffled
        Trained on shuffled labels; it has the layers that are looked at.
    tiles
        Explained.
    specs
        ``target`` unset or "auto" is the class that ``model`` predicts, of both.
    compute
        On what; ``precision="auto"`` is fp32.
    draws
        Noise maps that each map is compared with.
    told
        Called as it goes on.
    """
    compute = one_precision(compute)
    specs = Explainer(model, list(specs), compute, "tiles", warn=False).specs
    rows: list[dict[str, object]] = []
    chance: list[dict[str, object]] = []
    about = {"order": LABELS, "block": "", "depth": 0, "whole": True, "copy": 0}
    done = 0
    for label, indices in parts_by_class(model, tiles, compute):
        told("label randomisation", done, len(tiles))
        images, names = tiles.images(indices), [tiles.name(index) for index in indices]
        asked = [kept_target(model, spec, label) for spec in specs]
        both = [looks_of(m, asked, images, indices, compute, label) for m in (model, shuffled)]
        for spec, own, others in zip(specs, *both, strict=True):
            chance += chance_rows(spec, names, indices, own, draws)
            for name, one, other in zip(names, own, others, strict=True):
                rows.append({"tile": name} | named(spec) | about | similarity(one, other)._asdict())
        done += len(indices)
    return Found(pd.DataFrame(rows), pd.DataFrame(chance, columns=CHANCE_COLUMNS))
