"""What I-GOS, iGOS+ and iGOS++ can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from napari_smoothsal.attribution.mask_options import MaskOptions


class IgosOptions(MaskOptions):
    """What I-GOS can be told."""

    steps: int = Field(
        15,
        ge=1,
        description="On the way to the masked tile, how many gradients are averaged; 1: the plain "
        "gradient.",
    )
    sparsity: float = Field(
        1.0,
        ge=0,
        description="Weight of the hidden share of the tile (lambda 1): more hides less. The "
        "authors take 10 for masks as fine as the tile.",
    )
    smoothness: float = Field(
        20.0, ge=0, description="Weight of the mask's roughness (lambda 2): more is smoother."
    )
    tv_beta: float = Field(
        2.0, ge=1, description="Exponent of the differences that roughness sums up."
    )
    noise: float = Field(
        0.2,
        ge=0,
        description="Standard deviation of the noise on every mixed image, which keeps the mask "
        "from fooling the model; in units of the spread of ImageNet's colours, 0.226 of their "
        "range, however the model normalises.",
    )
    optimiser: Literal["line_search", "nesterov"] = Field(
        "line_search",
        description="How far each step goes: as far as lowers the objective enough "
        "(`line_search`), or the same for all, with momentum (`nesterov`).",
    )
    step: float = Field(
        1000.0,
        gt=0,
        description="The longest step that is tried, or each step of `nesterov`, in units of the "
        "gradient.",
    )
    explained: Literal["probability", "score"] = Field(
        "probability",
        description="What is followed: the probability, as in the paper, or the score (logit) as a "
        "share of its fall from the tile to the background, which goes on falling where the "
        "probability is next to 1 or 0; ask for a lower sparsity then, 0.1.",
    )
    variant: Literal["equations", "published"] = Field(
        "equations",
        description="`published` does as the authors' code does where that differs from their "
        "equations: it searches with fresh noise at every try and takes the last step whatever, "
        "counts the probabilities of two masks twice there, takes edges from row to row from the "
        "mean colour, and cuts the blur off after 25 px.",
    )


class IgosPlusOptions(IgosOptions):
    """What iGOS+ can be told."""

    bilateral: bool = Field(
        True, description="Let the mask be rough where the tile has an edge; off: nowhere."
    )


class IgosPlusPlusOptions(IgosPlusOptions):
    """What iGOS++ can be told."""

    deletion: bool = Field(
        True, description="The masked tile shall lose its probability. Off, to see what it adds."
    )
    insertion: bool = Field(
        True,
        description="What it hides shall, alone, hold the probability. Off, to see what it adds.",
    )
    separate_masks: bool = Field(
        True,
        description="One mask for deletion, one for insertion and their product for both; off: "
        "one mask for all.",
    )

    @model_validator(mode="after")
    def _something_is_sought(self) -> IgosPlusPlusOptions:
        if not (self.deletion or self.insertion):
            raise ValueError(
                "deletion = False and insertion = False: nothing would be sought; switch one on"
            )
        return self
