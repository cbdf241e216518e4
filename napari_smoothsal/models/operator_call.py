"""One call of an operator in the traced pass, and what is known of what it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any

import torch

from napari_smoothsal.models.axes import Placement


class Parts(Enum):
    """What becomes of patches, and of tokens that are none (a class token, registers)."""

    APART = auto()
    """Each depends on its like alone."""
    MIXED = auto()
    """Each depends on both."""
    PREFIX = auto()
    """What was made depends on those that are no patches."""
    PATCHES = auto()
    """It depends on patches."""


@dataclass(frozen=True)
class Made:
    """What is known of a tensor that an operator made."""

    placement: Placement | None = None
    parts: Parts = Parts.MIXED


@dataclass
class OperatorCall:
    """One call.

    Attributes
    ----------
    func, args, kwargs
        As dispatched.
    made, number
        One of the tensors that it made, and its place among them.
    tensors
        Those given that depend on the image.
    known
        Where a tensor's values lie.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: torch.Tensor
    number: int
    tensors: Sequence[torch.Tensor]
    known: Callable[[torch.Tensor], Placement | None]

    @cached_property
    def values(self) -> dict[str, Any]:
        """Arguments by their schema names, defaults included."""
        values = {}
        for index, argument in enumerate(self.func._schema.arguments):
            if index < len(self.args):
                values[argument.name] = self.args[index]
            else:
                default = argument.default_value if argument.has_default_value() else None
                values[argument.name] = self.kwargs.get(argument.name, default)
        return values

    def depends(self, tensor: torch.Tensor) -> bool:
        """Whether one of the tensors given depends on the image."""
        return any(tensor is one for one in self.tensors)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what was made."""
        return tuple(self.made.shape)

    @property
    def source(self) -> Placement | None:
        """Of the first argument."""
        first = self.args[0]
        return self.known(first) if isinstance(first, torch.Tensor) else None

    @property
    def placements(self) -> list[Placement]:
        """Of all tensors that have one."""
        return [p for p in map(self.known, self.tensors) if p is not None]
