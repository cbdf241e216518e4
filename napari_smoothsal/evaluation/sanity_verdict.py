"""What a sanity check says of each map: how much of it is left without what the model learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_smoothsal.evaluation.bootstrap import mean_of_tiles
from napari_smoothsal.evaluation.map_similarity import Similarity
from napari_smoothsal.evaluation.sanity import INDEPENDENT, NOISE, OTHER_TILES, Found

DEPENDS = "depends on the parameters"
IN_PART = "depends on the parameters in part"
DOES_NOT = "does not depend on the parameters"
UNKNOWN = "cannot be said"

MOSTLY_KEPT = 0.5
"""Share of the way from chance to equality from which on a map counts as unchanged."""

_KEYS = ["layer", "method", "denoising"]
_INTERVAL = (2.5, 97.5)


def sanity_verdicts(found: Found, seed: int = 0) -> pd.DataFrame:
    """Similarity after full randomisation against its chance level.

    Parameters
    ----------
    found
        From `sanity`, with cascading randomisation, or from `label_randomisation`.
    seed
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row per map and measure of `Similarity`: ``similarity``, the mean over tiles with its
        95 % bootstrap interval ``low`` to ``high`` (of ten tiles or more); ``copies``, how many
        random copies there are, and ``copies_low`` and ``copies_high``, the means over tiles of
        the copy that is least and of the one that is most like the model; ``chance``, the mean
        against noise as smooth, with ``chance_low`` to ``chance_high``, between which 95 % of
        single comparisons lie; ``kept``, how far the similarity lies on the way from chance to 1;
        and the ``verdict``: `DEPENDS` where the similarity is not above the interval of chance,
        `DOES_NOT` where at least `MOSTLY_KEPT` is kept, else `IN_PART`; `UNKNOWN` where there is
        nothing to compare. Beside it ``others``, ``others_low``, ``others_high``: the trained
        model's maps of different tiles. They are told and do not count: what all tiles have in
        common, be it the checkerboard of strides, would excuse itself.
    """
    whole = found.similarities
    whole = whole[whole["whole"] & (whole["order"] != INDEPENDENT)]
    draw = np.random.default_rng(seed)
    rows = []
    for key, part in whole.groupby(_KEYS, sort=False):
        about = dict(zip(_KEYS, key, strict=True))
        chance = found.chance[(found.chance[_KEYS] == list(key)).all(axis=1)]
        for measure in Similarity._fields:
            by_tile = part.groupby("tile", sort=False)[measure].mean().dropna().to_numpy()
            row: dict[str, Any] = about | {"measure": measure, "tiles": len(by_tile)}
            value, low, high = mean_of_tiles(by_tile, draw)
            row |= {"similarity": value, "low": low, "high": high}
            by_copy = part.groupby("copy", sort=False)[measure].mean()
            row |= {"copies": len(by_copy)}
            row |= {"copies_low": by_copy.min(), "copies_high": by_copy.max()}
            for called, against in (("chance", NOISE), ("others", OTHER_TILES)):
                drawn = chance.loc[chance["against"] == against, measure].dropna().to_numpy()
                ends = np.percentile(drawn, _INTERVAL) if len(drawn) else (np.nan, np.nan)
                row |= {called: _mean(drawn), f"{called}_low": ends[0], f"{called}_high": ends[1]}
            base, limit = row["chance"], row["chance_high"]
            kept = (value - base) / (1 - base)
            rows.append(row | {"kept": kept, "verdict": _verdict(value, limit, kept)})
    return pd.DataFrame(rows)


def _verdict(value: float, limit: float, kept: float) -> str:
    if not np.isfinite(kept):
        return UNKNOWN
    if value <= limit:
        return DEPENDS
    return DOES_NOT if kept >= MOSTLY_KEPT else IN_PART


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan
