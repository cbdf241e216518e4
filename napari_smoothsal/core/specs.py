"""SaliencySpec, Tiling and Compute: the single source for API, command line and docks.

Each field's description is the help of its command-line flag and the tooltip of its
control, so it is written for a user.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from napari_smoothsal.core.settings import Settings

Precision = Literal["auto", "fp64", "fp32", "tf32", "bf16"]
Aggregate = Literal["mean", "square", "variance"]

MOST_SAMPLES = 10_000
MOST_AUTO_SAMPLES = 200
FEWEST_JITTERED = 4


class SaliencySpec(Settings):
    """Everything that determines a saliency map except the slide and the model.

    Raises
    ------
    SettingError
        Where a value cannot work, e.g. ``samples`` below 0.
    """

    schema_version: Literal[1] = Field(1, exclude=False, repr=False)
    layer: str = Field(
        min_length=1,
        description="Hidden layer at which the map is computed; `input` is the image itself. "
        "Early layers show fine detail, deep ones show larger structures.",
    )
    denoising: str = Field(
        "centred_hook",
        min_length=1,
        description="How the checkerboard noise of strided convolutions is removed: "
        "`centred_hook` smooths the gradient of each without moving it; `backward_hook` does so "
        "and moves it; `forward_hook` smooths what each sees, which changes the predictions; "
        "`bilinear_surrogate` has trained smooth paths in their place, which changes them less; "
        "`gaussian_blur` blurs the finished map, for comparison; `original` leaves it as it is.",
    )
    method: str = Field(
        "activation_x_gradient",
        min_length=1,
        description="How the attribution is computed at the layer: `gradient` says what more "
        "activity there would do to the score, `activation_x_gradient` what the activity there "
        "contributes to it, `deeplift` and `integrated_gradients` what it does compared with "
        "a baseline image. `smoothsal methods` lists all.",
    )
    samples: int | Literal["auto"] = Field(
        20,
        description="Noisy copies of each tile that are averaged (SmoothGrad); 0 uses the tile "
        "itself, without noise; `auto` goes on until `max_standard_error` is reached, or "
        f"{MOST_AUTO_SAMPLES} samples.",
    )
    max_standard_error: float = Field(
        0.1,
        gt=0,
        le=1,
        description="With `samples=auto`: the relative standard error of a tile's map at which "
        "no more samples are drawn for it.",
    )
    sigma: float = Field(
        0.2,
        ge=0,
        le=10,
        description="Standard deviation of that noise, in units of the normalised input.",
    )
    jitter: bool = Field(
        False,
        description="Phase jitter: each noise sample sees the tile shifted by another number of "
        "layer pixels, which averages the checkerboard out; the model stays as it is. Takes 4 "
        "samples or more; goes with any denoising.",
    )
    aggregate: Aggregate = Field(
        "mean",
        description="How the noise samples are combined: their `mean`, the mean of their `square`s "
        "(never negative), or their `variance`.",
    )
    noise_at: Literal["input", "layer"] = Field(
        "input",
        description="Where the noise is added: to the `input`, or to the output of the `layer`, "
        "there in units of each tile's own standard deviation.",
    )
    target: int | str | None = Field(
        None,
        description="Class that is explained: a name or an index, `auto` for the class predicted "
        "in each tile (of models that decide per pixel: the most frequent other than the "
        "background), `a-b` for the difference of two, or `unit:LAYER:CHANNEL` for the mean "
        "activity of a hidden unit above the layer. Unset: the model's default class.",
    )
    reduction: Literal["sum", "mean", "absolute", "positive", "channel"] = Field(
        "sum",
        description="How channels become one map: signed sum, signed mean, sum of absolute "
        "values, sum of positive values, or one `channel` alone.",
    )
    channel: int | None = Field(
        None,
        ge=0,
        description="With `reduction=channel`: which channel of the layer it is; 0 is the first.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Seed of the noise.",
    )
    denoising_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the denoising, as name=value."
    )
    method_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the method, as name=value."
    )

    @property
    def layer_label(self) -> str:
        """The layer, and which of its channels where it is one: ``layer1 channel 17``."""
        return self.layer if self.channel is None else f"{self.layer} channel {self.channel}"

    @property
    def denoising_label(self) -> str:
        """The denoising with what it was told: ``centred_hook strength=0.5 jitter``."""
        jitter = ("jitter",) if self.jitter else ()
        return " ".join((self.denoising, *_told(self.denoising_options), *jitter))

    @property
    def method_label(self) -> str:
        """The method with what it was told: ``deeplift baseline=white``."""
        return " ".join((self.method, *_told(self.method_options)))

    @field_validator("samples", mode="before")
    @classmethod
    def _a_number_or_auto(cls, value: Any) -> Any:
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        number = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (number and 0 <= value <= MOST_SAMPLES):
            raise ValueError(f"give a whole number from 0 to {MOST_SAMPLES}, or 'auto'")
        return value

    @field_validator("target", mode="before")
    @classmethod
    def _digits_are_an_index(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("give a class name or an index")
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @model_validator(mode="after")
    def _an_error_is_known(self) -> SaliencySpec:
        if self.samples == "auto" and self.aggregate == "variance":
            raise ValueError(
                "samples = 'auto' needs a standard error, which aggregate = 'variance' has not; "
                "give a number of samples"
            )
        return self

    @model_validator(mode="after")
    def _a_variance_has_samples(self) -> SaliencySpec:
        if self.aggregate == "variance" and self.samples != "auto" and self.samples < 2:
            raise ValueError(
                "aggregate = 'variance' is that of several samples; "
                f"samples = {self.samples}, give 2 or more"
            )
        return self

    @model_validator(mode="after")
    def _one_channel_is_named(self) -> SaliencySpec:
        if self.reduction == "channel" and self.channel is None:
            raise ValueError(
                "reduction = 'channel' shows one channel of the layer; say which, e.g. channel = 0"
            )
        if self.reduction != "channel" and self.channel is not None:
            raise ValueError(
                f"channel = {self.channel} needs reduction = 'channel'; "
                f"reduction = {self.reduction!r} takes all of them"
            )
        return self

    @model_validator(mode="after")
    def _jitter_has_samples(self) -> SaliencySpec:
        if self.jitter and self.samples != "auto" and self.samples < FEWEST_JITTERED:
            raise ValueError(
                f"jitter = True needs samples to shift, {FEWEST_JITTERED} or more; "
                f"samples = {self.samples}"
            )
        return self


def _told(options: dict[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]


class Tiling(Settings):
    """How a slide is cut into tiles. None means: chosen from the model."""

    schema_version: Literal[1] = Field(1, repr=False)
    tile_px: int | None = Field(
        None,
        ge=8,
        le=16_384,
        description="Side of a tile, in pixels at the model's resolution. Unset: the model's "
        "input size.",
    )
    overlap: float | None = Field(
        None,
        ge=0,
        le=0.75,
        description="Share of the kept part of a tile that it shares with its neighbour; maps "
        "are blended there. Unset: 0.25, or 0.0625 for models that decide per pixel.",
    )
    halo: int | None = Field(
        None,
        ge=0,
        le=8_192,
        description="Rim of a tile that is computed but not kept, in pixels at the model's "
        "resolution. Unset: 16, less on small tiles; for models that decide per pixel as far as "
        "the tile's border reaches into their output.",
    )
    min_tissue: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Smallest share of tissue in the kept part of a tile for it to be explained. "
        "Unset: 0.1; for models that decide per pixel, any tissue.",
    )
    tissue: str = Field(
        "auto",
        min_length=1,
        description="`auto` finds the tissue; `all` takes the whole slide; otherwise the path of "
        "a GeoJSON file (level-0 pixels) or a mask image to use instead.",
    )
    upsample: bool = Field(
        False,
        description="Accept a slide with less resolution than the model wants, and enlarge it.",
    )


class Compute(Settings):
    """On what and how the maps are computed; the result depends on it only within rounding."""

    schema_version: Literal[1] = Field(1, repr=False)
    device: str = Field(
        "auto",
        min_length=1,
        description="`auto`, `cpu`, `cuda`, `cuda:1` or `mps`.",
    )
    precision: Precision = Field(
        "auto",
        description="Number format. `auto` takes bf16 where the device has it in hardware and its "
        "error stays below the standard error of the noise samples, else fp32; fp64 is for "
        "comparisons.",
    )
    batch_size: int | Literal["auto"] = Field(
        "auto",
        description="Tiles, or noise samples of fewer tiles, in one pass; `auto` chooses by "
        "memory. Where memory runs out all the same, it is halved.",
    )
    budget_bytes: int | None = Field(
        None,
        ge=2**20,
        description="Memory that the feature maps of one pass may take, with `batch_size=auto`. "
        "Unset: a share of what is free.",
    )
    readers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Threads that read tiles. Unset: one per processor core, at most 8.",
    )
    deterministic: bool = Field(
        False,
        description="Only deterministic algorithms, for results that repeat bit for bit on CUDA.",
    )

    @field_validator("batch_size")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("give 1 or more, or 'auto'")
        return value
