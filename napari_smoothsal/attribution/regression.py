"""Least squares of scores that come a few at a time."""

from __future__ import annotations

import torch

_ROUNDING = 1e-10
"""Eigenvalues below this share of the largest are what rounding leaves of zero."""


class Regression:
    """A linear fit by its normal equations, which do not grow with the number of scores.

    Minimises sum_i weight_i (target_i - features_i . b)^2 + sum_j penalty_j b_j^2.

    Parameters
    ----------
    penalties
        (k,) of each coefficient; where they are 0 and there are too few scores, the shortest of all
        solutions is taken.
    empty
        How many directions the features never have, e.g. 1 where they add up to zero.
    """

    def __init__(self, penalties: torch.Tensor, empty: int = 0) -> None:
        self._penalties = penalties.double()
        self._unknowns = len(penalties) - empty
        self._normal = torch.zeros(len(penalties), len(penalties), dtype=torch.float64)
        self._right = torch.zeros(len(penalties), dtype=torch.float64)
        self._squares = 0.0
        self._rows = 0

    def add(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
        """Take in features (n, k), targets (n,) and weights (n,)."""
        features, targets, weights = features.double(), targets.double(), weights.double()
        weighted = features * weights[:, None]
        self._normal += features.T @ weighted
        self._right += weighted.T @ targets
        self._squares += float((weights * targets.square()).sum())
        self._rows += len(targets)

    def solved(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(k,) coefficients and their variances, by the residuals.

        NaN where there are too few scores to tell: what the shortest solution leaves out is no
        less uncertain for fitting what there is. The variances take weights for the inverse of a
        residual's variance.
        """
        values, vectors = torch.linalg.eigh(self._normal + torch.diag(self._penalties))
        known = values > values.max() * _ROUNDING
        inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T
        fit = inverse @ self._right
        residual = self._squares - 2 * fit @ self._right + fit @ self._normal @ fit
        left = self._rows - self._unknowns
        decided = left > 0 and int(known.sum()) >= self._unknowns
        scatter = residual.clamp(min=0) / left if decided else torch.nan
        return fit, scatter * (inverse @ self._normal @ inverse).diagonal()
