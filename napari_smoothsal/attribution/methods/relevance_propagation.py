"""Layer-wise relevance propagation: the score is shared out among a layer's values, rule by rule.

``lrp_epsilon``, ``lrp_alpha_beta``, ``lrp_z_plus``, ``excitation_backprop``, ``deep_taylor``;
the rules themselves are those of `relevance`.
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator

from napari_smoothsal.attribution.base import METHODS, AtLayer, LayerMethod, MethodOptions
from napari_smoothsal.attribution.methods.gradient import activation_x_gradient
from napari_smoothsal.attribution.relevance import (
    AlphaBetaRule,
    BoxedRule,
    EpsilonRule,
    as_magnitudes,
    as_ones,
)
from napari_smoothsal.core.caller_warning import warn_caller


class EpsilonOptions(MethodOptions):
    """What the epsilon rule can be told."""

    epsilon: float = Field(
        1e-3,
        ge=0,
        description="Added to the size of each unit's sum, in its own units: the relevance of "
        "sums that are small beside it, and so uncertain, is let go. With 0, of ReLU networks, "
        "it is activation x gradient.",
    )


class ZPlusOptions(MethodOptions):
    """What the z+ rule can be told."""

    biases: bool = Field(
        True,
        description="Biases take their share of relevance, which the map is then short of; off, "
        "the layer shares all of it.",
    )


class AlphaBetaOptions(ZPlusOptions):
    """What the alpha-beta rule can be told."""

    alpha: float = Field(
        2.0, ge=0, description="Weight of what speaks for a unit's sum; alpha - beta is 1."
    )
    beta: float = Field(
        1.0, ge=0, description="Weight of what speaks against a unit's sum; alpha - beta is 1."
    )
    conserve: bool = Field(
        True,
        description="Insist on alpha - beta = 1: relevance then neither grows nor shrinks from "
        "layer to layer. Off, any pair goes, such as 1 and 1.",
    )

    @model_validator(mode="after")
    def _conserves(self) -> AlphaBetaOptions:
        if self.conserve and abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(
                f"alpha = {self.alpha:g} and beta = {self.beta:g}: their difference must be 1, or "
                "relevance is not conserved; conserve = false allows it"
            )
        if self.alpha - self.beta != 1:
            warn_caller(
                f"alpha = {self.alpha:g} and beta = {self.beta:g}: relevance is not conserved, so "
                "the values of a map do not add up to the score, nor compare between layers"
            )
        return self


def _boxed_relevance(at: AtLayer, options: MethodOptions) -> torch.Tensor:
    return at.gradient if at.layer == "input" else activation_x_gradient(at, options)


LRP_EPSILON = METHODS.register(
    LayerMethod(
        name="lrp_epsilon",
        title="LRP, epsilon rule: shares of the score, without those that cancel to nothing",
        positive="supports",
        negative="speaks against",
        attribute=activation_x_gradient,
        options=EpsilonOptions,
        backward=lambda options, _box: EpsilonRule("lrp_epsilon", options.epsilon),
    )
)
"""R_i = sum_j a_i w_ij R_j / (z_j + epsilon sign z_j) (Bach et al. 2015, equation 58)."""

LRP_ALPHA_BETA = METHODS.register(
    LayerMethod(
        name="lrp_alpha_beta",
        title="LRP, alpha-beta rule: what speaks for and what against share the score apart",
        positive="supports",
        negative="speaks against",
        attribute=activation_x_gradient,
        options=AlphaBetaOptions,
        backward=lambda options, _box: AlphaBetaRule(
            "lrp_alpha_beta", options.alpha, options.beta, biases=options.biases
        ),
        weighs=True,
        begins=as_magnitudes,
    )
)
"""R_i = sum_j (alpha z+_ij / z+_j - beta z-_ij / z-_j) R_j (Bach et al. 2015, equation 60)."""

LRP_Z_PLUS = METHODS.register(
    LayerMethod(
        name="lrp_z_plus",
        title="LRP, z+ rule: the score shared among what speaks for it alone",
        positive="bears on",
        negative="bears against",
        opposed=lambda _options: False,
        attribute=activation_x_gradient,
        options=ZPlusOptions,
        backward=lambda options, _box: AlphaBetaRule("lrp_z_plus", 1, 0, biases=options.biases),
        weighs=True,
        begins=as_magnitudes,
    )
)
"""R_i = sum_j z+_ij / z+_j R_j (Montavon et al. 2017): the alpha-beta rule of 1 and 0."""

EXCITATION_BACKPROP = METHODS.register(
    LayerMethod(
        name="excitation_backprop",
        title="Excitation backprop: how likely a winner at the top is traced back to each place",
        positive="bears on",
        negative="bears against",
        opposed=lambda _options: False,
        attribute=activation_x_gradient,
        backward=lambda _options, _box: AlphaBetaRule("excitation_backprop", 1, 0, biases=False),
        weighs=True,
        begins=as_ones,
    )
)
"""P(i) = sum_j a_i w+_ij / (sum of these over i) P(j), from P = 1 for the class (Zhang et al.
2016, equation 3): the z+ rule without biases, whose relevance begins with 1 at the score."""

DEEP_TAYLOR = METHODS.register(
    LayerMethod(
        name="deep_taylor",
        title="Deep Taylor decomposition: shares of the score; of an image, within its colours",
        positive="bears on",
        negative="bears against",
        opposed=lambda _options: False,
        attribute=_boxed_relevance,
        backward=lambda _options, box: BoxedRule("deep_taylor", box),
        weighs=True,
        begins=as_magnitudes,
    )
)
"""The z+ rule without biases, and the z^B rule at the image, whose values lie between black and
white (Montavon et al. 2017)."""
