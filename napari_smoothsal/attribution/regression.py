"""Least squares of scores that come a few at a time."""

from __future__ import annotations

import torch

_ROUNDING = 1e-10
"""Eigenvalues below this share of the largest are what rounding leaves of zero."""


class Regression:
    """A linear fit.

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
        self._features = torch.zeros(0, len(penalties), dtype=torch.float64)
        self._targets = torch.zeros(0, dtype=torch.float64)
        self._weights = torch.zeros(0, dtype=torch.float64)

    def add(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
        """Take in features (n, k), targets (n,) and weights (n,)."""
        self._features = torch.cat([self._features, features.double()])
        self._targets = torch.cat([self._targets, targets.double()])
        self._weights = torch.cat([self._weights, weights.double()])

    def solved(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(k,) coefficients and their variances, by each score's own residual.

        The residuals hold what the line cannot follow, so they differ from score to score, and
        the weights do not say how: the variances are White's, each residual enlarged by what the
        fit took of it (HC2; MacKinnon and White 1985). NaN where there are too few scores to tell:
        what the shortest solution leaves out is no less uncertain for fitting what there is.
        """
        features = self._features
        weighted = features * self._weights[:, None]
        normal = features.T @ weighted + torch.diag(self._penalties)
        values, vectors = torch.linalg.eigh(normal)
        known = values > values.max() * _ROUNDING
        inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T
        each = weighted @ inverse  # (n, k): what a target's change would do to the coefficients
        fit = each.T @ self._targets
        if len(features) <= self._unknowns or int(known.sum()) < self._unknowns:
            return fit, torch.full_like(fit, torch.nan)
        left = 1 - (each * features).sum(1)
        squares = (self._targets - features @ fit).square() / left.clamp_min(_ROUNDING)
        return fit, each.square().T @ squares
