"""filled: a network with the weights of a file, of which there is one copy in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

import torch
from torch import Tensor, nn

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.weights.counting import at_most, most_modules
from napari_smoothsal.models.weights.state_dict import COUNTER, below, prefix_of

_NAMES_TOLD = 4
_MOST_BESIDE = 1 << 25
"""Values that a network may hold beside its weights."""


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
        Weights by name, its own or those of a training module that holds it (`prefix_of`). They
        belong to the network afterwards; it does not depend on the file that they are from. Of
        another precision than the network's they are converted.
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
    sketch = _sketched(build, most_modules(state))
    if sketch is not None:
        state = below(state, prefix_of(state, sketch.state_dict(), whose), whose)
        weights = _fitting(sketch.state_dict(), state, whose)  # before it takes any memory
    on_meta = sketch is not None and _is_complete(sketch)
    if on_meta:
        assert sketch is not None
        module = sketch
    else:
        if sketch is not None:
            _refuse_bloat(sketch, state, whose)
        with torch.random.fork_rng(devices=[]), at_most(most_modules(state), whose):
            module = build()
        state = below(state, prefix_of(state, module.state_dict(), whose), whose)
        weights = _fitting(module.state_dict(), state, whose)
    owners = _owners(module)
    if on_meta:
        weights = _owned(weights, owners)
    try:
        module.load_state_dict(weights, strict=True, assign=on_meta)
    except RuntimeError as error:
        raise ModelError(f"{whose}: the weights do not fit: {str(error)[:300]}") from error
    if on_meta:
        _tie(module, owners)
    return module.eval()


def _sketched(build: Callable[[], nn.Module], most: int) -> nn.Module | None:
    """The network without memory; None where it cannot be built so."""
    # Looking at a value fails there, in many ways; a mistake in `build` shows up again without.
    with (
        suppress(Exception),
        torch.random.fork_rng(devices=[]),
        torch.device("meta"),
        at_most(most, "it"),
    ):
        return build()
    return None


def _is_complete(sketch: nn.Module) -> bool:
    """Whether all of its values are in its state dict: others would be lost."""
    given = {id(value) for value in sketch.state_dict(keep_vars=True).values()}
    return all(id(value) in given for value in _values(sketch))


def _values(module: nn.Module) -> Iterator[Tensor]:
    """All tensors that a network holds."""
    for part in module.modules():
        for value in (*part._parameters.values(), *part._buffers.values(), *_attributes(part)):
            if isinstance(value, Tensor):
                yield value


def _refuse_bloat(sketch: nn.Module, state: Mapping[str, Tensor], whose: str) -> None:
    """Values beside the weights, such as masks of attention, are made whatever the file holds."""
    given = {id(value) for value in sketch.state_dict(keep_vars=True).values()}
    beside = sum(value.numel() for value in _values(sketch) if id(value) not in given)
    held = sum(value.numel() for value in state.values())
    if beside > _MOST_BESIDE + held:
        raise ModelError(
            f"{whose}: its architecture asks for {beside:,} values beside the {held:,} of its "
            "weights; correct its arguments"
        )


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
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    _refuse_misfits(missing, unexpected, wrong, whose)
    for name in own:
        if name.rpartition(".")[2] == COUNTER and name not in weights:
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
            ([n for n in missing if n.rpartition(".")[2] != COUNTER], "missing"),
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
