"""What lies under the map? Whether a model's maps follow an artefact of its tiles, and which one.

A network that has learned a pen mark, a cast or JPEG's blocks has maps that are different where
these are. One linear model of all map values says by how much each artefact changes them while the
others and the classes are held fixed; the spread between tiles says whether that could be chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution.tiles import explain_tiles
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.evaluation.artefacts import ARTEFACTS, found_in
from napari_smoothsal.evaluation.insertion_deletion import cells_of
from napari_smoothsal.models import Model

CELL_PX = 4
"""Maps and artefacts meet on cells of about this side."""

LEAST_TILES = 5
"""An artefact that fewer tiles show, or fewer do not, is not judged."""

SUSPECT_T = 5.0
"""Chosen on twelve networks other than those of ``benchmarks/shortcut.py``."""

NONE, NOT_JUDGED = "none", "could not be judged"


def under_the_map(
    model: Model,
    images: torch.Tensor,
    labels: Sequence[int],
    spec: SaliencySpec,
    compute: Compute | None = None,
) -> pd.DataFrame:
    """Blame of each artefact for a model's maps of some tiles.

    Parameters
    ----------
    model
        Suspected.
    images
        (n, 3, H, W) uint8, at the model's resolution: fifty or more, of all classes, with their
        artefacts as they come.
    labels
        (n,) true classes; a class's own tissue is then not mistaken for an artefact that goes
        with it.
    spec
        Of the maps. It has to ask the same of every tile: a class or a difference of two, neither
        ``"auto"`` nor the predicted class.
    compute
        On what.

    Returns
    -------
    pandas.DataFrame
        See `blame`.

    Raises
    ------
    SettingError
        If the spec's target is left to each tile.
    """
    if spec.target in (None, "auto"):
        raise SettingError(
            f"target = {spec.target!r}: maps of different tiles would explain different classes; "
            f"name one of {list(model.card.class_names)}, or a difference of two"
        )
    maps = map_cells(model, images, spec, compute)
    return blame(maps, shares_of(found_in(images), maps.shape[-1]), labels)


def map_cells(
    model: Model, images: torch.Tensor, spec: SaliencySpec, compute: Compute | None = None
) -> NDArray[np.float64]:
    """(n, cells, cells) maps of square tiles (n, 3, H, H), on the cells that `shares_of` has."""
    info, side = model.layer(spec.layer), images.shape[-1]
    found = explain_tiles(model, images, spec, compute)
    moved = found.displacement.placed_px
    centre = (info.centre[0] - moved[0], info.centre[1] - moved[1])
    cells = max(2, side // CELL_PX)
    return cells_of(found.reduced, info.stride, centre, side, cells).numpy()


def shares_of(found: NDArray[np.bool_], cells: int) -> NDArray[np.float64]:
    """(n, artefacts, cells, cells) the part of each cell that shows an artefact."""
    pixels = torch.from_numpy(found).double()
    return torch.nn.functional.adaptive_avg_pool2d(pixels, cells).numpy()


def blame(
    maps: NDArray[np.float64], shares: NDArray[np.float64], labels: Sequence[int]
) -> pd.DataFrame:
    """How much more or less a map has where tiles show each artefact.

    Least squares of all cells of all tiles on the class and the artefacts together; errors allow
    for cells of a tile not being independent (Liang and Zeger, Biometrika 1986).

    Parameters
    ----------
    maps
        (n, h, w) signed.
    shares
        (n, artefacts, h, w) from `shares_of`, in the order of the registry.
    labels
        (n,) true classes.

    Returns
    -------
    pandas.DataFrame
        One row per artefact, the most suspect first: ``artefact``; ``tiles`` that show it;
        ``area``, its share of all; ``excess``, how much higher the map is on it, in mean
        magnitudes of all maps; ``t``, that over its standard error. What `LEAST_TILES` tiles
        do not show, or what cannot be told from the class, has NaN.
    """
    judged = [k for k in range(shares.shape[1]) if _is_judged(shares[:, k], labels)]
    count = len(maps)
    classes = [np.asarray(labels) == label for label in np.unique(labels)]
    constant = np.broadcast_to(np.stack(classes, 1)[:, None], (count, maps[0].size, len(classes)))
    chosen = np.moveaxis(shares[:, judged], 1, 3).reshape(count, maps[0].size, len(judged))
    design = np.concatenate([constant, chosen], 2).astype(np.float64)
    values = maps.reshape(count, -1) / max(float(np.abs(maps).mean()), np.finfo(np.float64).tiny)
    bread = np.linalg.pinv(np.einsum("npi,npj->ij", design, design))
    effect = bread @ np.einsum("npi,np->i", design, values)
    by_tile = np.einsum("npi,np->ni", design, values - design @ effect)
    error = np.sqrt(np.diag(bread @ (by_tile.T @ by_tile) @ bread))
    table = pd.DataFrame(
        {
            "artefact": list(ARTEFACTS),
            "tiles": (shares > 0).any((2, 3)).sum(0),
            "area": shares.mean((0, 2, 3)),
            "excess": np.nan,
            "t": np.nan,
        }
    )
    own = slice(len(classes), None)
    table.loc[judged, "excess"] = effect[own]
    with np.errstate(divide="ignore", invalid="ignore"):
        table.loc[judged, "t"] = effect[own] / error[own]
    return table.sort_values("t", ascending=False, ignore_index=True)


def culprit(blamed: pd.DataFrame) -> str:
    """Name of the artefact that is most to blame, or `NONE` where none is above `SUSPECT_T`.

    It is `NOT_JUDGED` where no artefact could be judged: nobody is acquitted by that.

    What lowers the map is not named: a map is low where there is nothing to see. A shortcut to
    another class is found in maps of that class.
    """
    if blamed["t"].isna().all():
        return NOT_JUDGED
    first = blamed.iloc[0]
    return str(first["artefact"]) if first["t"] > SUSPECT_T else NONE


def _is_judged(share: NDArray[np.float64], labels: Sequence[int]) -> bool:
    """Whether enough tiles show an artefact, and enough places of the same class do not."""
    shown = (share > 0).any((1, 2))
    if shown.sum() < LEAST_TILES:
        return False
    everywhere = shown & (share.min((1, 2)) > 0)
    if (shown & ~everywhere).sum() >= LEAST_TILES:
        return True
    by_class = [everywhere[np.asarray(labels) == label] for label in np.unique(labels)]
    return any(LEAST_TILES <= own.sum() <= len(own) - LEAST_TILES for own in by_class)
