"""What is told of a map beside its picture: means over its tiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_smoothsal.models import Model
from napari_smoothsal.render.words import counted_in
from napari_smoothsal.runs import Run
from napari_smoothsal.viewer.told import Reading


def reading_of(run: Run, model: Model) -> Reading:
    """Means over the explained tiles of a run of one map; of predictions, over all of them."""
    tiles, predicted = run.tiles, run.predicted
    good = tiles[tiles["status"] == "done"]
    key, shown = next(iter(run.maps.items()))
    return Reading(
        tiles=len(good),
        failed=int((tiles["status"] == "failed").sum()),
        target=shown.target,
        empty=int((good[f"explained_px_{key}"] == 0).sum()),
        total_variation=_mean(good[f"tv_{key}"]),
        standard_error=_mean(good[f"se_{key}"]),
        samples=_mean(good[f"samples_{key}"]) or 0.0,
        counted=counted_in(shown.spec.method),
        displaced_um=shown.displaced_um,
        fine_displaced_um=shown.fine_displaced_um,
        probabilities={
            name: mean
            for name in model.card.class_names
            if (mean := _mean(predicted[f"p_{name}"])) is not None
        },
        predicted={str(k): int(v) for k, v in predicted["predicted"].value_counts().items()},
        weak=len(run.weakly_predicted),
        otherwise=len(run.tiles_of_another_class(shown)),
        looked_at=len(predicted),
        left_out=int((tiles["status"] == "not_explained").sum()),
        choice=run.choice,
    )


def _mean(column: pd.Series[float]) -> float | None:
    values = column.to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
