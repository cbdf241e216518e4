"""What a denoising is, and how one is applied to a network for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from pydantic import Field, JsonValue, field_validator
from torch import nn

from napari_smoothsal.core.registry import Registry
from napari_smoothsal.core.settings import Settings, checked_options


class Handle(Protocol):
    """Undoes one attachment; `torch.utils.hooks.RemovableHandle` is one."""

    def remove(self) -> None: ...


class NoOptions(Settings):
    """A denoising without options."""


class MovingOptions(Settings):
    """Options of a denoising that moves the gradient."""

    compensate: bool = Field(
        True,
        description="Take back by how much the denoising moves the map's fine structure; false "
        "leaves it displaced, as the paper has it.",
    )


class ScopedOptions(Settings):
    """Options of a denoising that changes the forward pass, too."""

    scope: Literal["above", "paper"] = Field(
        "above",
        description="Strided convolutions that are changed: those `above` the layer; `paper`: "
        "those below it as well, but for the model's first.",
    )


@dataclass(frozen=True)
class Denoising:
    """One way to deal with the checkerboard that strided convolutions put into gradients.

    Attributes
    ----------
    name
        As in ``SaliencySpec.denoising``.
    title
        One line in plain words, for lists and tooltips.
    attach
        Changes one strided convolution and returns the handle that undoes it; None where
        nothing is changed.
    smooth
        Of a finished map (B, C, h, w) on the CPU, signed, its options, and the maps of the
        denoising that they match, or None; None where the map stays.
    options
        Settings model of ``SaliencySpec.denoising_options``.
    moves_gradient_px
        By how many pixels of its input each strided convolution moves the gradient that it
        hands down, along both axes, while the network stays where it is.
    moves_activation_px
        By how many each moves what it hands up, of a network that is changed.
    changes_network
        Whether the forward pass, and so what is explained, is another one than the model's.
    replaces
        Whether the convolutions are replaced by the paths of the model's surrogate.
    """

    name: str
    title: str
    attach: Callable[[nn.Conv2d, Settings], Handle] | None = None
    smooth: Callable[[torch.Tensor, Settings, torch.Tensor | None], torch.Tensor] | None = None
    options: type[Settings] = NoOptions
    moves_gradient_px: float = 0.0
    moves_activation_px: float = 0.0
    changes_network: bool = False
    replaces: bool = False


DENOISINGS: Registry[Denoising] = Registry("denoising")


def _matchable() -> list[str]:
    return [d.name for d in DENOISINGS.values() if d.attach is not None or d.replaces]


def _name_matchable(schema: dict[str, JsonValue]) -> None:
    schema["enum"] = [None, *_matchable()]


class MatchingOptions(Settings):
    """Options of a denoising of finished maps that can be as smooth as another denoising's."""

    match: str | None = Field(
        None,
        description="A denoising, with its default options: each tile's map is smoothed until its "
        "total variation is that of this denoising's map. One that is smoother already stays.",
        json_schema_extra=_name_matchable,
    )

    @field_validator("match")
    @classmethod
    def _can_be_matched(cls, value: str | None) -> str | None:
        if value is not None and value not in _matchable():
            problem = "leaves the gradient as it is" if value in DENOISINGS else "is no denoising"
            raise ValueError(f"{value!r} {problem}; give one of {', '.join(_matchable())}")
        return value


@contextmanager
def denoised(
    module: nn.Module, denoising: Denoising, convolutions: Sequence[str], options: Settings
) -> Iterator[None]:
    """Apply a denoising to the named convolutions of a network, and undo it on leaving.

    The convolutions are those of `convolutions_of`. They are changed for the time of the block
    only, also when it raises.
    """
    handles: list[Handle] = []
    try:
        if denoising.attach is not None:
            for name in convolutions:
                convolution = module.get_submodule(name)
                assert isinstance(convolution, nn.Conv2d)
                handles.append(denoising.attach(convolution, options))
        yield
    finally:
        for handle in reversed(handles):
            handle.remove()


def options_of(denoising: Denoising, given: dict[str, object]) -> Settings:
    """Validate a spec's ``denoising_options`` by the denoising's own model."""
    return checked_options(f"denoising {denoising.name!r}", denoising.options, given)
