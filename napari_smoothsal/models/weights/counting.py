"""How many modules a network may have, by the file that it is to be filled from."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from napari_smoothsal.core.errors import ModelError

_PER_TENSOR, _FURTHER = 8, 2000
"""The most in timm, torchvision and segmentation-models-pytorch are 3 modules to a tensor."""


def most_modules(state: Mapping[str, Tensor]) -> int:
    """More than any network has whose weights these are."""
    return _PER_TENSOR * len(state) + _FURTHER


@contextmanager
def at_most(most: int, whose: str) -> Iterator[None]:
    """While the block builds a network: end it where that has far more modules than weights.

    What it is built by is a number in a file (``depth``), and nothing else would end it.

    Raises
    ------
    ModelError
        After so many modules.
    """
    counted, thread = 0, threading.get_ident()

    def count(_parent: nn.Module, _name: str, _child: nn.Module | None) -> None:
        nonlocal counted
        if threading.get_ident() != thread:
            return
        counted += 1
        if counted > most:
            raise ModelError(
                f"{whose}: its architecture asks for more than {most} modules, and its weights are "
                "of far fewer; correct its arguments"
            )

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
