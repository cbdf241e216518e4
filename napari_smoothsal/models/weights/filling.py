"""filled: a network with the weights of a file, of which there is one copy in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import torch
from torch import Tensor, nn

from napari_smoothsal.core.errors import ModelError

_COUNTER = "num_batches_tracked"
"""Of BatchNorms; older checkpoints lack it, and no output depends on it."""

_NAMES_TOLD = 4


def filled(build: Callable[[], nn.Module], state: Mapping[str, Tensor], whose: str) -> nn.Module:
    """Build a network and give it weights.

    It is built without memory (torch's meta device) and takes the tensors of `state` as they are.
    Where it keeps values that are in no state dict, or cannot be built so, it is built as usual
    and the weights are copied. torch's random numbers are the same afterwards.

    Parameters
    ----------
    build
        Makes the network.
    state
        Weights by name. They belong to the network afterwards; it does not depend on the file that
        they are from. Of another precision than the network's they are converted.
    whose
        For the messages.

    Returns
    -------
    nn.Module
        In evaluation mode. Whether its parameters require gradients is as it was built.

    Raises
    ------
    ModelError
        If names, shapes or kinds of numbers are not the network's; a missing count of batches
        (``num_batches_tracked``) is let pass.
    """
    module = _built_on_meta(build)
    on_meta = module is not None
    if module is None:
        with torch.random.fork_rng(devices=[]):
            module = build()
    own = module.state_dict()
    owners = _owners(module)
    weights = _fitting(own, state, whose)
    if on_meta:
        weights = _owned(weights, owners)
    try:
        told = module.load_state_dict(weights, strict=False, assign=on_meta)
    except RuntimeError as error:
        raise ModelError(f"{whose}: the weights do not fit: {str(error)[:300]}") from error
    _refuse_misfits(told.missing_keys, told.unexpected_keys, [], whose)
    if on_meta:
        _tie(module, owners)
    return module.eval()


def _built_on_meta(build: Callable[[], nn.Module]) -> nn.Module | None:
    """The network without memory; None where some of its values would be lost."""
    module = None
    # Looking at a value fails there, in many ways; a mistake in `build` shows up again without.
    with suppress(Exception), torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = build()
    if module is None:
        return None
    given = {id(value) for value in module.state_dict(keep_vars=True).values()}
    for part in module.modules():
        own = [*part._parameters.values(), *part._buffers.values()]
        if any(value is not None and id(value) not in given for value in own):
            return None
        if any(isinstance(value, Tensor) for value in _attributes(part)):
            return None
    return module


def _attributes(part: nn.Module) -> Iterable[object]:
    """Values of a module that are neither parameters nor buffers, and those they hold."""
    for name, value in vars(part).items():
        if name in ("_parameters", "_buffers", "_modules"):
            continue
        yield value
        if isinstance(value, list | tuple | set):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()


def _fitting(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], whose: str
) -> dict[str, Tensor]:
    """The weights in the network's precision; raises ModelError where they are of another shape."""
    weights: dict[str, Tensor] = {}
    wrong = []
    for name, value in state.items():
        value = value.detach()
        needed = own.get(name)
        if isinstance(needed, Tensor):
            if value.shape == (1,) and needed.shape == ():  # as torch 0.3 had it
                value = value.reshape(())
            if value.shape != needed.shape:
                sides = f"{tuple(value.shape)} for {tuple(needed.shape)}"
                wrong.append(f"{name[:80]} ({sides})")
            elif _kind(value) != _kind(needed):
                wrong.append(f"{name[:80]} ({value.dtype} for {needed.dtype})")
            elif value.dtype != needed.dtype:
                value = value.to(needed.dtype)
        weights[name] = value
    if wrong:
        missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        _refuse_misfits(missing, unexpected, wrong, whose)
    for name in own:
        if name.rpartition(".")[2] == _COUNTER and name not in weights:
            weights[name] = torch.zeros((), dtype=torch.long)
    return weights


def _kind(value: Tensor) -> str:
    if value.dtype.is_complex:
        return "complex"
    return "real" if value.dtype.is_floating_point else "whole"


def _refuse_misfits(
    missing: Iterable[str], unexpected: Iterable[str], wrong: Iterable[str], whose: str
) -> None:
    found = [
        _told(names, what)
        for names, what in (
            ([n for n in missing if n.rpartition(".")[2] != _COUNTER], "missing"),
            (list(unexpected), "not of the network"),
            (list(wrong), "of another shape or kind"),
        )
        if names
    ]
    if found:
        raise ModelError(
            f"{whose}: the weights do not fit the network: {'; '.join(found)}. Name the "
            "architecture that they were trained with"
        )


def _told(names: list[str], what: str) -> str:
    some = ", ".join(name[:120] for name in names[:_NAMES_TOLD])
    return f"{len(names)} {what}: {some}" + (", ..." if len(names) > _NAMES_TOLD else "")


def _owners(module: nn.Module) -> dict[str, int]:
    """Which names are one and the same parameter or buffer, by a number for each."""
    return {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}


def _owned(weights: dict[str, Tensor], owners: Mapping[str, int]) -> dict[str, Tensor]:
    """Give what shares memory in the file, but not in the network, memory of its own.

    Else a network that is changed in one place, as when a BatchNorm is folded into a convolution,
    would change in another.
    """
    first: dict[int, str] = {}
    result = {}
    for name, value in weights.items():
        at = value.data_ptr()
        shares = value.numel() > 0 and first.setdefault(at, name) != name
        tied = shares and owners.get(first[at]) == owners.get(name)
        repeats = any(
            n > 1 and step == 0 for n, step in zip(value.shape, value.stride(), strict=True)
        )
        result[name] = value.clone() if (shares and not tied) or repeats else value
    return result


def _tie(module: nn.Module, owners: Mapping[str, int]) -> None:
    """Make those names one parameter again that were one as the network was built."""
    first: dict[int, str] = {}
    places = dict(module.named_modules(remove_duplicate=False))
    for name, owner in owners.items():
        origin = first.setdefault(owner, name)
        if origin != name:
            setattr(_part(places, name), name.rpartition(".")[2], _value(places, origin))


def _part(places: Mapping[str, nn.Module], name: str) -> nn.Module:
    return places[name.rpartition(".")[0]]


def _value(places: Mapping[str, nn.Module], name: str) -> object:
    return getattr(_part(places, name), name.rpartition(".")[2])
