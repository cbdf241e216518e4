"""What a card says of colours: the stain that tiles are brought to, and the stain it knows.

Data only; tiles are brought to a stain by `models.stain_normalisation`, stain is measured by
`slides.stain`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from napari_smoothsal.core.settings import Settings

Triple = tuple[float, float, float]
Pair = tuple[float, float]

_NEEDED = {
    "reinhard": ("lab_means", "lab_stds"),
    "macenko": ("stain_matrix", "max_concentrations"),
}


class StainNormalisation(Settings):
    """The stain that every tile is brought to before the model sees it, as torchstain does it.

    Raises
    ------
    SettingError
        Where the method's target is missing, or one of another method is given.
    """

    method: Literal["reinhard", "macenko"] = Field(
        description="`reinhard`: means and spreads in LAB (Reinhard et al. 2001); `macenko`: the "
        "two dyes of H&E (Macenko et al. 2009)."
    )
    lab_means: Triple | None = Field(
        None, description="Reinhard: the target's mean L (0..100), a and b."
    )
    lab_stds: Triple | None = Field(
        None, description="Reinhard: the target's standard deviations of L, a and b."
    )
    stain_matrix: tuple[Pair, Pair, Pair] | None = Field(
        None,
        description="Macenko: optical density of haematoxylin and eosin in red, green and blue.",
    )
    max_concentrations: Pair | None = Field(
        None,
        description="Macenko: 99th percentile of the concentrations of haematoxylin and eosin.",
    )

    @model_validator(mode="after")
    def _of_its_method(self) -> StainNormalisation:
        for method, fields in _NEEDED.items():
            for name in fields:
                if (getattr(self, name) is not None) != (method == self.method):
                    has = "needs" if method == self.method else "has no use for"
                    raise ValueError(f"method {self.method!r} {has} {name}")
        for name in ("lab_stds", "max_concentrations"):
            values = getattr(self, name)
            if values is not None and min(values) <= 0:
                raise ValueError(f"{name} = {values}: every value must be above 0")
        if self.stain_matrix is not None:
            (a, d), (b, e), (c, f) = self.stain_matrix
            # The area that the two vectors span: none where they are one and the same dye.
            across = ((b * f - c * e) ** 2 + (c * d - a * f) ** 2 + (a * e - b * d) ** 2) ** 0.5
            if not across > 1e-3:
                raise ValueError(
                    f"stain_matrix = {self.stain_matrix}: its columns, haematoxylin and eosin, "
                    "must be two different dyes"
                )
        return self


class Stain(NamedTuple):
    """How strongly tissue is stained: mean optical densities over its pixels.

    Attributes
    ----------
    haematoxylin, eosin
        Of the two dyes, by colour deconvolution (Ruifrok and Johnston 2001); decadic: 1 lets a
        tenth of the light through.
    residual
        Of what neither explains, in the direction of DAB: 0.05 to 0.27 of H&E from three scanners.
        Another dye or a cast of the scanner shows here.
    """

    haematoxylin: float
    eosin: float
    residual: float


class StainRange(Settings):
    """The stain of the slides that a model was made for: lowest and highest of each density.

    See `Stain` for what is measured.

    Raises
    ------
    SettingError
        Where a range is not (lowest, highest).
    """

    haematoxylin: Pair = Field(description="Mean optical density of haematoxylin in tissue.")
    eosin: Pair = Field(description="Mean optical density of eosin in tissue.")
    residual: Pair | None = Field(
        None, description="Of what is neither; None: whatever it is, nothing is said of it."
    )

    @model_validator(mode="after")
    def _ordered(self) -> StainRange:
        for name in Stain._fields:
            limits = getattr(self, name)
            if limits is not None and not limits[0] <= limits[1]:
                raise ValueError(f"{name} = {limits} is not (lowest, highest)")
        return self

    def outside(self, stain: Stain) -> list[str]:
        """In words, what of a stain lies outside; empty where nothing does."""
        return [
            f"{name} {value:.3g} (the model's range: {limits[0]:.3g} to {limits[1]:.3g})"
            for name, value in stain._asdict().items()
            if (limits := getattr(self, name)) is not None and not limits[0] <= value <= limits[1]
        ]
