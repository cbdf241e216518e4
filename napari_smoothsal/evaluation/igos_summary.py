"""The tables of iGOS++ from their rows: means beside the paper's; differences with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_smoothsal.core.checks import LEAST_PROBABILITY, UNSURE, WRONG
from napari_smoothsal.evaluation.igos_measuring import (
    MOST_WITHOUT,
    STILL_SEEN,
)
from napari_smoothsal.evaluation.igos_tables import OURS, IgosTable
from napari_smoothsal.evaluation.paired import paired

_KEYS = ["method", "mask_size", "mask_px"]
_PRICES = ["sparsity", "smoothness"]


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that tables are made of.

    Those of tiles whose class is seen without them are left out, if there are others: nothing that
    is hidden can take away what is there anyway.
    """
    kept = rows[~rows["mark"].str.contains(STILL_SEEN, regex=False)]
    return kept if len(kept) else rows


def igos_table(table: IgosTable, rows: pd.DataFrame) -> pd.DataFrame:
    """A table with the paper's figures beside, NaN where it has none.

    Parameters
    ----------
    table
        Which.
    rows
        See `IgosFound`.

    Returns
    -------
    pandas.DataFrame
        Means over tiles of ``deletion`` and ``insertion``, and of both as the authors' code adds
        them up, or of ``loss``; or the median of ``seconds``, which the first tile does not spoil.
    """
    kept = rows if table.measures == "seconds" else counted(rows)
    keys = [*_KEYS, *(_PRICES if table.measures == "loss" else [])]
    grouped = kept.groupby(keys, sort=False)
    if table.measures == "areas":
        names = ["deletion", "insertion", "deletion_published", "insertion_published"]
        means = grouped[names].mean()
    elif table.measures == "loss":
        means = grouped[["loss"]].mean()
    else:
        means = grouped[["seconds"]].median()
    means["tiles"] = grouped["tile"].nunique()
    return _beside(means.reset_index(), table)


def _beside(means: pd.DataFrame, table: IgosTable) -> pd.DataFrame:
    papers = table.published()
    if papers is None:
        return means
    papers = papers.rename(columns=lambda name: name.removesuffix("_auc"))
    values = [name for name in ("deletion", "insertion", "loss", "seconds") if name in papers]
    on = [name for name in papers if name not in values]
    return means.merge(
        papers.rename(columns={name: f"paper_{name}" for name in values}), how="left", on=on
    )


def igos_compared(rows: pd.DataFrame, ours: str = OURS, seed: int = 0) -> pd.DataFrame:
    """Differences of one row to all others, on the same tiles, at each mask size.

    Parameters
    ----------
    rows
        Of a table with areas.
    ours
        The row whose values the others' are taken off.
    seed
        Of the resamples.

    Returns
    -------
    pandas.DataFrame
        By size, other method and ``score``; see `Paired`.
    """
    generator = np.random.default_rng(seed)
    found = []
    for (size, cells), part in counted(rows).groupby(["mask_size", "mask_px"], sort=False):
        for score in ("insertion", "deletion"):
            wide = part.pivot_table(index="tile", columns="method", values=score)
            if ours not in wide:
                continue
            for other in dict.fromkeys(part["method"]):
                if other != ours:
                    difference = (wide[ours] - wide[other]).dropna().to_numpy(np.float64)
                    about = {"mask_size": size, "mask_px": cells, "method": ours}
                    about |= {"against": other, "score": score}
                    found.append(about | paired(difference, generator)._asdict())
    return pd.DataFrame(found)


def marks_told(rows: pd.DataFrame) -> list[str]:
    """What is to be known of the tiles that are marked, as sentences."""
    tiles = rows.drop_duplicates("tile")
    count = {mark: int(tiles["mark"].str.contains(mark, regex=False).sum()) for mark in _MARKS}
    said = [f"{n} of {len(tiles)} tiles: {_MARKS[mark]}" for mark, n in count.items() if n]
    if count[STILL_SEEN] == len(tiles):
        said.append("There are no others, so that the table is of them all the same.")
    return said


_MARKS = {
    WRONG: f"*{WRONG}* by the label; what is explained is the class that the model predicts. On "
    "such tiles a mask may be one that fools the model.",
    UNSURE: f"*{UNSURE}*, with a probability below {LEAST_PROBABILITY:g}. A mask must gain more "
    "than it costs, and finds little there; it may be one that fools the model.",
    STILL_SEEN: f"*{STILL_SEEN}*: what shows in its place keeps more than {100 * MOST_WITHOUT:g} % "
    "of the class's probability, so that neither curve tells where the decision rests. They are in "
    "the table by tile, and left out of the means.",
}
