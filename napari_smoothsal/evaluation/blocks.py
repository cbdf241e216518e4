"""The blocks of a network, from its output down: what a randomisation goes through one by one.

A block is a part that does one thing: a residual block, a convolution with its normalisation, the
last linear layer. Mere lists of such parts (stages, encoders) are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from torch import nn

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WHOLE = "(network)"


class Block(NamedTuple):
    """One block.

    Attributes
    ----------
    name
        Of its module.
    parts
        Names of the modules in it that have parameters of their own; "" is the network itself.
    """

    name: str
    parts: tuple[str, ...]


def blocks_of(model: Model) -> list[Block]:
    """All blocks with parameters, the last to run first.

    What no module but the whole network uses, as far as one can see, comes at the end.

    Raises
    ------
    ModelError
        If the network has no parameters.
    """
    executed = model.executed
    places = {name: place for place, name in enumerate(executed)}
    modules = dict(model.module.named_modules())
    found: dict[str, list[str]] = {}
    for name, module in modules.items():
        if any(True for _ in module.parameters(recurse=False)):
            found.setdefault(_block(name, modules), []).append(name)
    if not found:
        raise ModelError(
            f"model {model.card.name!r} has no parameters: there is nothing to randomise"
        )

    def last(name: str) -> int:
        return max(places.get(_runs(part, executed), -1) for part in found[name])

    blocks = [Block(name or _WHOLE, tuple(found[name])) for name in sorted(found, key=last)]
    return _with_norms(blocks, modules)[::-1]


def blocks_above(model: Model, layer: str) -> list[Block]:
    """The blocks from the output down, as long as none of them has a part in a layer's output.

    Randomised, they leave what the layer makes of an image as it is, bit for bit.
    """
    model.layer(layer)
    executed = model.executed

    def above(block: Block) -> bool:
        return not any(_is_below(model, _runs(part, executed), layer) for part in block.parts)

    return list(takewhile(above, blocks_of(model)))


def _is_below(model: Model, part: str, layer: str) -> bool:
    if layer == "input":
        return False
    inside = part in ("", layer) or part.startswith(layer + ".")
    return inside or model.reach(part, layer) is not None


def _runs(part: str, executed: Sequence[str]) -> str:
    """The module in whose run a part's own parameters are used, as far as one can see.

    Of a module with modules in it the first of these: a class token comes before the rest. Else
    the nearest one around it that is called, itself included: attention uses the weights of its
    last linear layer without calling it. "" is the whole network.
    """
    inside = (name for name in executed if not part or name.startswith(part + "."))
    first = next(inside, None)
    if first is not None:
        return first
    while part and part not in executed:
        part = part.rpartition(".")[0]
    return part


def _block(part: str, modules: dict[str, nn.Module]) -> str:
    """The outermost module around a part that is not a list of blocks."""
    steps = part.split(".") if part else []
    around = [".".join(steps[: i + 1]) for i in range(len(steps))]
    return next((name for name in around if not _holds_blocks(name, modules)), part)


def _holds_blocks(name: str, modules: dict[str, nn.Module]) -> bool:
    if _is_listed(name, modules):
        return False
    inner = (f"{name}.{below}" for below, _ in modules[name].named_modules() if below)
    return isinstance(modules[name], _LISTS) or any(_is_listed(part, modules) for part in inner)


def _is_listed(name: str, modules: dict[str, nn.Module]) -> bool:
    """Whether a module of several parts, itself no list, stands in a list."""
    module, around = modules[name], modules[name.rpartition(".")[0]]
    several = len(list(module.children())) > 1
    return several and not isinstance(module, _LISTS) and isinstance(around, _LISTS)


def _with_norms(blocks: list[Block], modules: dict[str, nn.Module]) -> list[Block]:
    """Normalisations that stand alone join the block before them, whose output they scale."""
    joined: list[Block] = []
    for block in blocks:
        alone = [modules[part] for part in block.parts]
        if joined and all(_is_norm(module) for module in alone):
            joined[-1] = Block(joined[-1].name, joined[-1].parts + block.parts)
        else:
            joined.append(block)
    return joined


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm))
