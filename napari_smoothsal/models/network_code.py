"""What a network does beside its weights, as a hash: layers, their settings, their code."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator

import torch
from torch import nn

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def code_sha256(network: nn.Module) -> str:
    """Hash of a network's layers and of the code of its own classes.

    Two networks of the same weights are not the same one where a ReLU of one is a LeakyReLU of
    the other. Torch's own layers are known by their names and settings.

    Parameters
    ----------
    network
        Whatever its weights are.
    """
    return hashlib.sha256("\n".join(_told(network)).encode()).hexdigest()


def _told(network: nn.Module) -> Iterator[str]:
    yield _ADDRESS.sub("", repr(network))
    for module in network.modules():
        if isinstance(module, torch.jit.ScriptModule) and hasattr(module, "forward"):
            yield str(module.code)
    for kind in dict.fromkeys(type(module) for module in network.modules()):
        if not kind.__module__.startswith("torch."):
            yield kind.__qualname__
            try:
                yield inspect.getsource(kind)
            except (OSError, TypeError):  # typed into an interpreter, or compiled
                continue
