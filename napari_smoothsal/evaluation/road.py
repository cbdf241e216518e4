"""ROAD: remove and debias. What is left of a score without the pixels that a map calls important?

Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods (ICML 2022).
Removed pixels are no grey holes whose outline gives away where they were: each becomes the weighted
mean of its eight neighbours, removed ones among them, which is one sparse system of equations, with
a little noise. The most important pixels are removed, and the least important ones; a map is good
where the score bears the second and not the first.

The authors' imputation is also in ``grad-cam`` (MIT), with which this one agrees to 1e-7 (version
1.5.5). It is no dependency: for these lines it brings OpenCV, whose own Qt gets in the way of
napari's, scikit-learn and a build from source, takes seconds to import, and draws noise without a
seed of its own.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from napari_smoothsal.evaluation.insertion_deletion import Predict

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the pixels that are removed; the paper averages over 0.1, 0.2, ... 0.9."""

NOISE_LEVEL = 0.01
"""Standard deviation of the noise of removed pixels, as published; colours go from 0 to 1."""

_NEIGHBOURS = {
    (y, x): 1 / 12 if y and x else 1 / 6 for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x
}


def imputed(
    image: NDArray[np.floating], kept: NDArray[np.bool_], noise: NDArray[np.floating] | float = 0.0
) -> NDArray[np.float64]:
    """Fill removed pixels from what is around them.

    Parameters
    ----------
    image
        (C, H, W).
    kept
        (H, W), False where a pixel was removed; at least one is kept.
    noise
        Added to removed pixels: (C, removed pixels), or a number.

    Returns
    -------
    numpy.ndarray
        (C, H, W). At the border there are fewer neighbours, and their weights count for more.
    """
    filled = image.astype(np.float64)
    y, x = np.nonzero(~kept)
    if len(y) == 0:
        return filled
    number = np.full(kept.shape, -1)
    number[y, x] = np.arange(len(y))
    total, known = np.zeros(len(y)), np.zeros((len(y), len(image)))
    rows, columns, values = [], [], []
    for (down, right), weight in _NEIGHBOURS.items():
        there_y, there_x = y + down, x + right
        inside = (there_y >= 0) & (there_y < kept.shape[0])
        inside &= (there_x >= 0) & (there_x < kept.shape[1])
        total += weight * inside
        row = np.flatnonzero(inside)
        at = (there_y[row], there_x[row])
        known[row] += weight * (filled[:, *at] * kept[at]).T
        removed = ~kept[at]
        rows.append(row[removed])
        columns.append(number[at][removed])
        values.append(np.full(int(removed.sum()), -weight))
    each = np.arange(len(y))
    places = (np.concatenate([*rows, each]), np.concatenate([*columns, each]))
    system = csc_array((np.concatenate([*values, total]), places), shape=(len(y), len(y)))
    # Symmetric and dominated by its diagonal: no pivots are needed, which is several times faster.
    solver = splu(
        system,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    filled[:, y, x] = solver.solve(known).T + noise
    return filled


def road(predict: Predict, image: torch.Tensor, importance: torch.Tensor, seed: int) -> float:
    """Half the difference of the scores without the least and without the most important pixels.

    Parameters
    ----------
    predict
        Of the model that is asked.
    image
        (C, H, W), 0..1.
    importance
        (H, W); equal values in the order of their place.
    seed
        Of the noise.

    Returns
    -------
    float
        Mean over `SHARES`, from -0.5 to 0.5: more is better, and an order that knows nothing has
        about 0. (``ROADCombined`` of grad-cam.)
    """
    values = image.double().numpy()
    order = importance.flatten().argsort(descending=True, stable=True).numpy()
    draw = np.random.default_rng(seed)
    changed = []
    for share in SHARES:
        count = round(share * len(order))
        for removed in (order[:count], order[len(order) - count :]):
            kept = np.ones(len(order), bool)
            kept[removed] = False
            noise = NOISE_LEVEL * draw.standard_normal((len(values), count))
            changed.append(imputed(values, kept.reshape(values.shape[1:]), noise))
    scores = predict(torch.from_numpy(np.clip(np.stack(changed), 0, 1)).float())
    most, least = scores[0::2], scores[1::2]
    return float((least - most).double().mean() / 2)
