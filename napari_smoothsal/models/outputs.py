"""Where the logits are among what a network returns, and what a network wants to be given.

A network is asked with images alone and answers with one tensor. What answers with a mapping or
a tuple is read from one place of it, where there is no doubt which; else it is refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError

MAIN = ("logits", "out")
"""What libraries call the output proper beside auxiliary ones: transformers, torchvision."""

_WRAP = "wrap the module in one whose forward"


@dataclass(frozen=True)
class Place:
    """The way from what a network returns to its logits.

    Attributes
    ----------
    key
        Of a mapping, a tuple or an object with attributes; None where the output is the tensor.
    one_class
        Whether the network decides per pixel into one class and leaves its axis out.
    """

    key: str | int | None = None
    one_class: bool = False

    def of(self, output: Any) -> Any:
        """The logits; what is no tensor stays as it is, for others to name."""
        if self.key is not None:
            mapped = isinstance(output, (Mapping, list, tuple)) and not _by_attribute(output)
            output = output[self.key] if mapped else getattr(output, str(self.key))
        if self.one_class and isinstance(output, torch.Tensor):
            if output.ndim == 2:  # squeezed of its only row, too
                output = output[None]
            if output.ndim == 3:
                output = output[:, None]
        return output

    @property
    def said(self) -> str:
        """In words; empty where there is nothing to tell."""
        if self.key is None:
            return ""
        return f"logits are read from {self.key!r} of what the network returns"


def place_of(output: Any, card: ModelCard) -> Place:
    """Find the logits.

    Raises
    ------
    ModelError
        If there are several outputs and none is called the main one, there is no tensor, or it
        holds class numbers.
    """
    key = None if isinstance(output, torch.Tensor) else _key(output, card.name)
    logits = Place(key).of(output)
    if not logits.is_floating_point():
        raise ModelError(
            f"model {card.name!r} returns {logits.dtype} of shape {tuple(logits.shape)}: classes "
            "that are decided already, which have no gradient; take the argmax or threshold off "
            "its end, so that its forward returns logits"
        )
    dense = card.kind == "segmentation"
    one_class = dense and len(card.class_names) == 1 and logits.ndim in (2, 3)
    return Place(key, one_class)


def _key(output: Any, name: str) -> str | int:
    parts = {k: v for k, v in _parts(output).items() if v is not None}
    tensors: list[str | int] = [k for k, v in parts.items() if isinstance(v, torch.Tensor)]
    main = [key for key in tensors if key in MAIN]
    if len(main) == 1:
        return main[0]
    if len(parts) == len(tensors) == 1:
        return tensors[0]
    if not parts:
        raise ModelError(
            f"model {name!r} returns {type(output).__name__}, which holds no tensor; {_WRAP} "
            "returns the logits"
        )
    found = ", ".join(f"{key!r} {_shape(value)}" for key, value in parts.items())
    raise ModelError(
        f"model {name!r} returns {type(output).__name__} of {found}, and maps explain one tensor "
        f"of logits; {_WRAP} returns it alone, e.g. network(images)[{next(iter(parts))!r}]"
    )


def _by_attribute(output: Any) -> bool:
    return isinstance(output, tuple) and hasattr(output, "_fields")


def _parts(output: Any) -> dict[str | int, Any]:
    """What an output consists of, by key; a named tuple by its names."""
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))
    if isinstance(output, (list, tuple)):
        return dict(enumerate(output))
    # A dataclass of outputs, say.
    return {key: value for key in MAIN if (value := getattr(output, key, None)) is not None}


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__


def check_arguments(module: nn.Module, name: str) -> None:
    """Refuse a network that needs more than images.

    Raises
    ------
    ModelError
        With the names of the arguments that nobody would give.
    """
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # a forward without a signature
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.default is inspect.Parameter.empty]
    places = [p for p in needed if p.kind in positional]
    keywords = [p for p in needed if p.kind is inspect.Parameter.KEYWORD_ONLY]
    missing = [p.name for p in (*places[1:], *keywords)]
    if missing:
        raise ModelError(
            f"model {name!r} needs {', '.join(map(repr, missing))} beside the images, and is "
            f"given images alone; {_WRAP} takes images and fills in the rest"
        )
