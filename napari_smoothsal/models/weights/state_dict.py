"""Where in the content of a file the weights are: nests of checkpoints, prefixes of wrappers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import ModelError

_NESTS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
)
"""Names under which training scripts keep a state dict, the commonest first."""

COUNTER = "num_batches_tracked"
"""Of BatchNorms; older checkpoints lack it, and no output depends on it."""

_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""Prefixes of `torch.nn.DataParallel`, `torch.compile`, and Lightning modules."""


def tensors_of(content: Mapping[str, Any], whose: str) -> dict[str, Tensor]:
    """A state dict whose names are left as they are.

    Raises
    ------
    ModelError
        If it is anything but names and tensors.
    """
    if not _is_state_dict(content):
        raise ModelError(
            f"{whose}: the file holds no state dict (names and tensors), but {_told(content)}; "
            "save module.state_dict()"
        )
    return dict(content.items())


def state_dict_in(content: Mapping[str, Any], whose: str) -> dict[str, Tensor]:
    """The state dict of a checkpoint, with the names that the bare network has.

    Parameters
    ----------
    content
        What `read_weights` found: the state dict itself, or a checkpoint that holds it one or two
        levels down, under one of the usual names or as the only one.
    whose
        For the messages.

    Raises
    ------
    ModelError
        If there is none, or several and none under a usual name.
    """
    found = _found(content)
    if found is None:
        held = [name for name, _ in _nested(content)]
        which = (
            f"several, and none under a usual name: {', '.join(map(repr, held[:6]))}"
            if len(held) > 1
            else f"none, but {_told(content)}"
        )
        raise ModelError(
            f"{whose}: one state dict (names and tensors) is expected, there is {which}. This is "
            "no state dict to load: save module.state_dict() alone"
        )
    return _unwrapped(found)


def _found(content: Mapping[str, Any]) -> dict[str, Tensor] | None:
    if _is_state_dict(content):
        return dict(content.items())
    within = [content, *(content[n] for n in _NESTS if isinstance(content.get(n), Mapping))]
    for level in within:
        for name in _NESTS:
            one = level.get(name)
            if isinstance(one, Mapping) and _is_state_dict(one):
                return dict(one.items())
    nested = [one for _, one in _nested(content)]
    return dict(nested[0].items()) if len(nested) == 1 else None


def _nested(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    seen = set()
    for name, value in content.items():
        if isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            if _is_state_dict(value):
                yield str(name), value


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()
    )


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Prefixes are taken off only where every name has them: then nothing else has that name."""
    while True:
        prefix = next((p for p in _WRAPPERS if all(k.startswith(p) for k in state)), None)
        if prefix is None:
            return state
        state = {k.removeprefix(prefix): v for k, v in state.items()}


def prefix_of(state: Mapping[str, Tensor], names: Collection[str], whose: str) -> str:
    """Under which prefix a training module holds a network, beside losses and metrics.

    Parameters
    ----------
    state
        Of the training module, or of the network itself.
    names
        Of the network's parameters and buffers.
    whose
        For the messages.

    Returns
    -------
    str
        The one under which all names are; empty where the names are there as they are, or under
        no one prefix.

    Raises
    ------
    ModelError
        If there are several: copies of the network, such as averages of its weights.
    """
    needed = [name for name in names if name.rpartition(".")[2] != COUNTER]
    if not needed or needed[0] in state:
        return ""
    prefixes = [
        key.removesuffix(needed[0])
        for key in state
        if key.endswith(f".{needed[0]}")
        and all(key.removesuffix(needed[0]) + name in state for name in needed)
    ]
    if len(prefixes) > 1:
        raise ModelError(
            f"{whose}: the file holds {len(prefixes)} such networks, under {_some(prefixes)}; save "
            "the state dict of one of them alone"
        )
    return prefixes[0] if prefixes else ""


def below(state: Mapping[str, Tensor], prefix: str, whose: str) -> dict[str, Tensor]:
    """What lies under a prefix, which is taken off.

    Warns
    -----
    UserWarning
        Of what is left out.
    """
    others = [key for key in state if not key.startswith(prefix)]
    if others:
        warn_caller(
            f"{whose}: its weights are those under {prefix[:80]!r}; the rest of the file is left "
            f"out: {_some(others)}"
        )
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:80]) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _told(content: Mapping[Any, Any]) -> str:
    if not content:
        return "nothing at all"
    kinds = [f"{str(k)[:40]!r} ({type(v).__name__})" for k, v in list(content.items())[:4]]
    return ", ".join(kinds) + (", ..." if len(content) > 4 else "")
