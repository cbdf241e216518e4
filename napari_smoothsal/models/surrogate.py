"""The bilinear surrogate: for each strided convolution a smooth path that stands in for it.

A path is a convolution, a bilinear reduction and another convolution, without any non-linearity
(Herdt et al., Smooth Deep Saliency, section 3.3). Its gradient has no checkerboard, because the
reduction spreads it evenly. The weights are trained against the convolution's own outputs; see
`napari_smoothsal.denoise.surrogate_training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.models.card_file import json_object
from napari_smoothsal.models.weights import read_weights, sha256_of, tensors_of

if TYPE_CHECKING:
    from napari_smoothsal.models.model import Model

WEIGHTS = "surrogate.safetensors"
_MOST_CARD_BYTES = 1 << 24


class SurrogatePath(nn.Module):
    """What stands in for one strided convolution.

    Parameters
    ----------
    convolution
        The one it stands in for, whose channels and output size it has.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        inner, outer = convolution.in_channels, convolution.out_channels
        like: dict[str, Any] = {
            "dtype": convolution.weight.dtype,
            "device": convolution.weight.device,
        }
        self.before = nn.Conv2d(inner, outer, 3, padding=1, **like)
        self.after = nn.Conv2d(outer, outer, 3, padding=1, **like)
        self._size = _OutputSize(convolution)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, in, H, W) to (B, out, h, w), the size that the convolution has there."""
        result: torch.Tensor = self.after(self.reduced(image))
        return result

    def reduced(self, image: torch.Tensor) -> torch.Tensor:
        """What the second convolution sees."""
        height, width = image.shape[2:]
        size = self._size(height, width)
        if (height, width) == (2 * size[0], 2 * size[1]):
            # Halving bilinearly is the mean of two by two pixels, and that mean of a convolution
            # is one convolution with a wider kernel: less than half of the work.
            return F.conv2d(image, _widened(self.before.weight), self.before.bias, 2, 1)
        full = self.before(image)
        return F.interpolate(full, size=size, mode="bilinear", align_corners=False)


def _widened(weight: torch.Tensor) -> torch.Tensor:
    """Kernel 4 x 4, the mean of the 3 x 3 kernel at its four places."""
    places = [F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)]
    return torch.stack(places).mean(0)


class _OutputSize:
    """Size of a convolution's output, by its own arithmetic."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        padding = convolution.padding
        self._axes = [
            (
                convolution.kernel_size[a],
                convolution.stride[a],
                0 if isinstance(padding, str) else padding[a],
                convolution.dilation[a],
            )
            for a in (0, 1)
        ]

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        h, w = (
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, (kernel, stride, padding, dilation) in zip(
                (height, width), self._axes, strict=True
            )
        )
        return h, w


class SurrogateCard(Settings):
    """What is known of a surrogate: whose it is, and how it was trained."""

    schema_version: Literal[1] = 1
    model: str = Field(description="Name of the model it belongs to.")
    parameters_sha256: str = Field(description="Hash of that model's parameters.")
    weights_sha256: str = Field(description="SHA-256 of the file of weights.")
    training: dict[str, Any] = Field(default_factory=dict, description="Settings it had.")
    figures: dict[str, Any] = Field(default_factory=dict, description="What was measured.")


class Surrogate:
    """Trained paths of one model.

    Parameters
    ----------
    paths
        By the names of the convolutions that they stand in for.
    card
        Whose they are; None while they are being trained.
    """

    def __init__(
        self, paths: Mapping[str, SurrogatePath], card: SurrogateCard | None = None
    ) -> None:
        self.paths = dict(paths)
        self.card = card

    @classmethod
    def untrained(cls, model: Model) -> Surrogate:
        """Paths of random weights for every strided convolution of a model."""
        paths = {}
        for name in model.strided_convolutions:
            convolution = model.module.get_submodule(name)
            assert isinstance(convolution, nn.Conv2d)
            if type(convolution).forward is not nn.Conv2d.forward:
                raise ModelError(
                    f"model {model.card.name!r}: {name} is a {type(convolution).__name__}, which "
                    "pads its input in a way of its own; a surrogate stands in for plain nn.Conv2d "
                    "only. Use centred_hook, which needs none"
                )
            paths[name] = SurrogatePath(convolution)
        return cls(paths)

    def state(self) -> dict[str, torch.Tensor]:
        """All weights, by name of the convolution and of the weight."""
        return {
            f"{name}.{key}": value
            for name, path in self.paths.items()
            for key, value in path.state_dict().items()
        }

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take weights from `state`; raises RuntimeError where they do not fit."""
        for name, path in self.paths.items():
            own = {k.removeprefix(f"{name}."): v for k, v in state.items() if _of(k) == name}
            path.load_state_dict(own)

    @property
    def sha256(self) -> str:
        """Hash of its weights."""
        assert self.card is not None, "a surrogate in training has no hash yet"
        return self.card.weights_sha256


def _of(key: str) -> str:
    return key.rsplit(".", 2)[0]


def save_surrogate(
    surrogate: Surrogate,
    model: Model,
    folder: Path,
    training: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Path:
    """Write ``surrogate.safetensors`` and the JSON that says whose it is.

    Returns
    -------
    Path
        Of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS
    state = {k: v.detach().contiguous().cpu() for k, v in surrogate.state().items()}
    with replaced_at_once(weights) as part:
        save_file(state, part)
        part.chmod(0o644)  # safetensors writes files that only their owner can read
    card = SurrogateCard(
        model=model.card.name,
        parameters_sha256=model.parameters_sha256,
        weights_sha256=sha256_of(weights),
        training=dict(training),
        figures=dict(figures),
    )
    with replaced_at_once(weights.with_suffix(".json")) as part:
        part.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return weights


def load_surrogate(weights: Path, model: Model) -> Surrogate:
    """Read the surrogate of a model; nothing in the files can run code.

    Parameters
    ----------
    weights
        ``surrogate.safetensors``, or the folder that holds it; the JSON of the same name lies
        beside it.

    Raises
    ------
    ModelError
        If a file is missing or unreadable, or it is the surrogate of another model.
    """
    if weights.is_dir():
        weights = weights / WEIGHTS
    about = weights.with_suffix(".json")
    for path in (weights, about):
        if not path.is_file():
            folder = path.absolute().parent.name
            raise ModelError(
                f"surrogate: there is no {path.name!r} in {folder!r}; give the {WEIGHTS} that "
                "`smoothsal train-surrogate` wrote, with the JSON beside it"
            )
    card = SurrogateCard(**json_object(about, "surrogate", _MOST_CARD_BYTES))
    if card.parameters_sha256 != model.parameters_sha256:
        raise ModelError(
            f"surrogate: {weights.name!r} was trained for model {card.model!r} (parameters "
            f"{card.parameters_sha256[:12]}...), not for {model.card.name!r} "
            f"({model.parameters_sha256[:12]}...); train one with `smoothsal train-surrogate`"
        )
    if card.weights_sha256 != sha256_of(weights):
        raise ModelError(
            f"surrogate: {weights.name!r} is not the file that {about.name!r} describes; one of "
            "the two was changed, or a training ended between them; the same `smoothsal "
            "train-surrogate` again writes both from its checkpoint"
        )
    surrogate = Surrogate(Surrogate.untrained(model).paths, card)
    try:
        surrogate.load_state(tensors_of(read_weights(weights), "surrogate"))
    except RuntimeError as error:
        raise ModelError(f"surrogate: {weights.name!r}: {error}") from error
    return surrogate
