"""Looking through a pickle without carrying it out, to see whether reading it is safe.

The instructions are those that torch's weights-only unpickler carries out (its own of protocol 2),
less ``NEWOBJ``. Here they move inert values about: nothing is imported, called or allocated. What
passes is read by torch's unpickler, which refuses code on its own as well.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Hashable
from io import BytesIO
from typing import Any

from napari_smoothsal.core.errors import ModelError, SmoothsalError, UnsafeModelError
from napari_smoothsal.models.weights.pickle_calls import (
    ITEMSIZES,
    Container,
    Named,
    Row,
    Storage,
    allowed,
    built,
    called,
    depth_of,
)

MOST_PICKLE_BYTES = 16 << 20
"""A thousand tensors with the state of their optimizer take less than 1 MiB."""

_MOST_INSTRUCTIONS = 500_000
"""A tensor takes thirty. Each instruction makes an object of a hundred bytes or less."""
_MOST_NESTED = 64

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleInspector:
    """Goes through pickles that belong together, and knows what storages they claim.

    Parameters
    ----------
    name
        Of the file, for the messages.
    claimed
        Called with key, element count and bytes of an element of each storage that is claimed; it
        raises ModelError where the file does not hold that much. None: there may be no storages.
    """

    def __init__(self, name: str, claimed: Callable[[str, int, int], None] | None = None) -> None:
        self._name = name
        self._claimed = claimed
        self._left = _MOST_INSTRUCTIONS
        self.storages: dict[str, Storage] = {}
        self.globals: set[str] = set()

    def inspect(self, stream: BytesIO) -> Any:
        """Go through one pickle, to where it ends.

        Returns
        -------
        Any
            Its value: numbers and text as they are, all else inert.

        Raises
        ------
        UnsafeModelError
            Where reading it could run code.
        ModelError
            Where it is damaged, or claims more than there is.
        """
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        at: int | None = 0  # byte of the instruction that was taken last
        try:
            for opcode, argument, position in pickletools.genops(stream):
                at = position
                self._left -= 1
                if self._left < 0:
                    raise ModelError(f"it has more than {_MOST_INSTRUCTIONS} instructions")
                self._take(opcode.name, argument)
            return self._stack.pop()
        except SmoothsalError as error:
            way_out = (
                "; take the state dict out where you trust the file, with "
                "safetensors.torch.save_file(module.state_dict(), 'model.safetensors')"
                if isinstance(error, UnsafeModelError)
                else ""
            )
            raise type(error)(
                f"{self._name!r} is refused unread: {error} (byte {at} of its pickle){way_out}"
            ) from error
        except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
            raise ModelError(
                f"{self._name!r} is damaged or truncated (byte {at} of its pickle: {error}); copy "
                "or download it again"
            ) from error

    def _take(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name == "SHORT_BINSTRING" and not argument.isascii():
            raise ModelError("it holds text of Python 2 that is not ASCII; save it with Python 3")
        if name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            self._push_tuple([stack.pop() for _ in range(_TUPLES[name])][::-1])
        elif name == "TUPLE":
            items = self._since_mark()
            self._push_tuple(items)
        elif name == "EMPTY_LIST":
            stack.append(Container("list"))
        elif name == "EMPTY_DICT":
            stack.append(Container("dict"))
        elif name in ("APPEND", "SETITEM"):
            items = [stack.pop() for _ in range(1 if name == "APPEND" else 2)][::-1]
            self._fill(items, name)
        elif name in ("APPENDS", "SETITEMS"):
            self._fill(self._since_mark(), name)
        elif name == "MARK":
            self._marked.append(stack)
            self._stack = []
            _not_too_deep(len(self._marked))
        elif name == "GLOBAL":
            self.globals.add(argument)
            stack.append(allowed(argument))
        elif name == "REDUCE":
            arguments = stack.pop()
            self._left -= sum(map(_weight, getattr(arguments, "items", ())))
            stack[-1] = called(stack[-1], arguments)
            _not_too_deep(depth_of(stack[-1]))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1] = built(stack[-1], state)
        elif name == "BINPERSID":
            stack[-1] = self._storage(stack[-1])
        elif name == "PROTO":
            if argument != 2:
                raise ModelError(
                    f"it is written in pickle protocol {argument}, torch writes 2; save it again "
                    "with torch.save and its own protocol"
                )
        elif name != "STOP":
            raise UnsafeModelError(
                f"it holds the instruction {name}, which weights have no need of, and which can "
                "run code or take more memory than the file"
            )

    def _push_tuple(self, items: list[Any]) -> None:
        row = Row(tuple(items), 1 + max(map(depth_of, items), default=0))
        _not_too_deep(row.depth)
        self._stack.append(row)

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _fill(self, items: list[Any], name: str) -> None:
        into = self._stack[-1]
        lists = name.startswith("APPEND")
        if not isinstance(into, Container) or (into.kind == "list") != lists:
            raise UnsafeModelError(f"it fills something other than a list or dictionary ({name})")
        if not lists and any(not isinstance(key, Hashable) for key in items[::2]):
            raise ModelError("a key of a dictionary cannot be one")
        into.items.extend(items)
        into.depth = max(into.depth, 1 + max(map(depth_of, items), default=0))
        _not_too_deep(into.depth)

    def _storage(self, claim: Any) -> Storage:
        """What a persistent id stands for: memory in the file, or a refusal."""
        kind, *about = claim.items if isinstance(claim, Row) else (None,)
        if kind != "storage" or self._claimed is None or len(about) not in (4, 5):
            raise UnsafeModelError("it refers to something outside that is no storage of numbers")
        of, key, location, numel, *view = about
        if not (
            isinstance(of, Named)
            and of.name in ITEMSIZES
            and isinstance(key, str)
            and isinstance(location, str)
            and type(numel) is int
        ):
            raise UnsafeModelError("it describes a storage in an unknown way")
        found = Storage(numel, ITEMSIZES[of.name])
        if numel < 0 or self.storages.get(key, found) != found:
            raise ModelError(f"the storage {key[:40]!r} has two sizes, or less than none")
        if key not in self.storages:
            self._claimed(key, numel, found.itemsize)
            self.storages[key] = found
        if view not in ([], [None]):
            raise ModelError(
                "it shares parts of storages as torch 0.4 and before did; load and save it with a "
                "newer one"
            )
        return found


def _weight(arguments: Any) -> int:
    """Instructions that a call counts as: it may copy what it is given, as often as it is made."""
    if isinstance(arguments, str):
        return len(arguments) // 16
    return len(arguments.items) if isinstance(arguments, Row | Container) else 0


def _not_too_deep(depth: int) -> None:
    if depth > _MOST_NESTED:
        raise ModelError(f"it nests more than {_MOST_NESTED} levels")
