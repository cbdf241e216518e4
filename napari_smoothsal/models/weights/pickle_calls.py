"""What a pickle of weights may name and call, and what is known of the result without calling it.

The list is that of torch's own unpickler, cut down to what state dicts, optimizers and the
bookkeeping of training scripts need. Each entry checks its arguments: torch's unpickler trusts
the sizes that a file claims, and older ones read beyond the end of a storage.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from napari_smoothsal.core.errors import ModelError, UnsafeModelError

_MOST_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class Named:
    """A global of a pickle, as ``module name``; nothing is imported."""

    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple, with how deep it nests."""

    items: tuple[Any, ...]
    depth: int = 1


@dataclass(slots=True)
class Container:
    """A list, dict or ordered dict that the pickle fills."""

    kind: str
    items: list[Any] = field(default_factory=list)
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Storage:
    """Memory of `numel` elements that is known to lie in the file."""

    numel: int
    itemsize: int


@dataclass(frozen=True, slots=True)
class Other:
    """What has no part in weights: a device, a dtype, a number of numpy's."""

    kind: str


ITEMSIZES = {
    **{f"torch {name}Storage": 8 for name in ("Double", "Long", "ComplexFloat")},
    **{f"torch {name}Storage": 4 for name in ("Float", "Int")},
    **{f"torch {name}Storage": 2 for name in ("Half", "BFloat16", "Short")},
    **{f"torch {name}Storage": 1 for name in ("Byte", "Char", "Bool")},
    "torch ComplexDoubleStorage": 16,
    "torch.storage UntypedStorage": 1,
}
"""Bytes of an element, by the type of storage."""

_DTYPES = {
    f"torch {name}"
    for name in (
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool"),
        *("uint8", "int8", "int16", "int32", "int64"),
    )
}
_NUMPY_DTYPE = re.compile(r"[<>|=]?[biufc][0-9]{1,2}")
_NUMPY_SCALARS = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar")


def depth_of(value: Any) -> int:
    """How deep a value nests; 0 for what holds nothing."""
    return value.depth if isinstance(value, Row | Container) else 0


def allowed(name: str) -> Named:
    """A global that a pickle of weights may name.

    Raises
    ------
    UnsafeModelError
        If it is another one.
    """
    if name not in CALLS and name not in ITEMSIZES and name not in _DTYPES:
        raise UnsafeModelError(
            f"it names {name.replace(' ', '.')[:80]!r}, and looking that up could run code"
        )
    return Named(name)


def called(function: Any, arguments: Any) -> Any:
    """What is known of the result of a call.

    Raises
    ------
    UnsafeModelError
        If it is a call that weights have no need of.
    ModelError
        If a tensor does not lie within its storage.
    """
    if not isinstance(function, Named) or function.name not in CALLS:
        told = function.name if isinstance(function, Named) else type(function).__name__
        raise UnsafeModelError(f"it calls {told!r}, which weights have no need of")
    if not isinstance(arguments, Row):
        raise UnsafeModelError(f"it calls {function.name!r} with something other than a tuple")
    try:
        return CALLS[function.name](*arguments.items)
    except TypeError as error:  # another number of arguments
        raise UnsafeModelError(f"it calls {function.name!r} in an unknown way") from error


def built(target: Any, state: Any) -> Any:
    """What becomes of an object that is given a state.

    The attribute ``_metadata`` of state dicts, and numpy's description of a number; another
    attribute could stand in for a method of the dictionary.

    Raises
    ------
    UnsafeModelError
        If it is anything else.
    """
    if isinstance(target, Container) and target.kind == "ordered":
        if (
            isinstance(state, Container)
            and state.kind == "dict"
            and state.items[::2] in ([], ["_metadata"])
        ):
            return target
    elif target == Other("numpy dtype") and isinstance(state, Row):
        version, rest = state.items[:2], state.items[2:]
        if version in [(3, order) for order in "<>|="] and rest == (None, None, None, -1, -1, 0):
            return target
    raise UnsafeModelError("it sets the state of an object (BUILD), and that can run code")


def _ordered(items: Any = None) -> Container:
    _argument(items is None or (isinstance(items, Container) and items.kind == "list"))
    return Container("ordered", [], 1 + depth_of(items))


def _counter(items: Any = None) -> Container:
    _argument(items is None or (isinstance(items, Container) and items.kind == "dict"))
    return Container("counter", [], 1 + depth_of(items))


def _set(items: Any) -> Other:
    _argument(isinstance(items, Container) and items.kind == "list")
    return Other("set")


def _size(items: Any) -> Row:
    _whole(items)
    return Row(items.items)


def _device(kind: Any, index: Any = None) -> Other:
    _argument(isinstance(kind, str) and (index is None or type(index) is int))
    return Other("device")


def _encoded(text: Any, codec: Any) -> Other:
    # Other codecs decompress, or take time that grows with the square of the text.
    _argument(isinstance(text, str) and codec in ("latin1", "latin-1"))
    return Other("bytes")


def _numpy_dtype(kind: Any, *_flags: Any) -> Other:
    # A structured or object dtype would have numpy unpickle on its own.
    _argument(isinstance(kind, str) and _NUMPY_DTYPE.fullmatch(kind) is not None)
    return Other("numpy dtype")


def _numpy_scalar(dtype: Any, value: Any) -> Other:
    _argument(dtype == Other("numpy dtype") and (isinstance(value, str) or value == Other("bytes")))
    return Other("number")


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Other:
    """``torch._utils._rebuild_tensor_v2``: a view of a storage, which must lie within it."""
    _argument(isinstance(storage, Storage) and type(offset) is int)
    _argument(isinstance(requires_grad, bool) and metadata is None)
    _argument(hooks is None or (isinstance(hooks, Container) and not hooks.items))
    sides, steps = _whole(size), _whole(stride)
    elements = math.prod(sides)
    last = offset + sum((n - 1) * step for n, step in zip(sides, steps, strict=False))
    if (
        len(sides) != len(steps)
        or len(sides) > _MOST_DIMENSIONS
        or offset < 0
        or min((*sides, *steps), default=0) < 0
        or elements > storage.numel
        or (elements and last >= storage.numel)
    ):
        raise ModelError(
            f"a tensor of shape {str(sides)[:80]}, stride {str(steps)[:80]} and offset "
            f"{str(offset)[:20]} does not lie within its storage of {storage.numel} elements"
        )
    return Other("tensor")


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> Other:
    _argument(data == Other("tensor") and isinstance(requires_grad, bool))
    _argument(isinstance(hooks, Container) and not hooks.items)
    return Other("tensor")


def _whole(row: Any) -> tuple[int, ...]:
    _argument(isinstance(row, Row) and all(type(n) is int for n in row.items))
    items: tuple[int, ...] = row.items
    return items


def _argument(fits: bool) -> None:
    if not fits:
        raise UnsafeModelError("it makes a call with arguments that weights have no need of")


CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered,
    "collections Counter": _counter,
    "builtins set": _set,
    "__builtin__ set": _set,
    "torch Size": _size,
    "torch device": _device,
    "_codecs encode": _encoded,
    "numpy dtype": _numpy_dtype,
    **dict.fromkeys(_NUMPY_SCALARS, _numpy_scalar),
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
}
"""By global, a function of the arguments that says what is known of the result."""
