"""Accumulators: sums of w v and of w on the blocks of a map, in a bounded amount of memory.

Blocks exist only where something was added. Those that do not fit into memory lie in a file that
has no name, so that nothing is left of it when the process dies.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Key = tuple[int, int]

BUDGET_BYTES = 256 << 20


class Accumulators:
    """Blocks (channels + 1, rows, width) of sums: of w v for each channel, then of w.

    Parameters
    ----------
    rows, width
        Of a block.
    scratch
        Folder for what does not fit into memory.
    budget_bytes
        That blocks may take in memory. One is always held.
    """

    def __init__(
        self, rows: int, width: int, scratch: Path | None = None, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._rows, self._width = rows, width
        self._scratch, self._budget = scratch, budget_bytes
        self._held: OrderedDict[Key, Array] = OrderedDict()
        self._slots: dict[Key, int] = {}
        self._free: list[int] = []
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._held) + len(self._slots)

    def at(self, key: Key, channels: int) -> Array:
        """The block of a key, zeros where nothing was added; valid until the next call."""
        block = self._held.get(key)
        if block is None:
            block = self._loaded(key, channels)
            if block is None:
                block = np.zeros((channels + 1, self._rows, self._width), np.float32)
            self._held[key] = block
        self._held.move_to_end(key)
        self._keep_within_budget()
        return block

    def pop(self, key: Key, channels: int) -> Array | None:
        """Take a block out; None where nothing was added."""
        block = self._held.pop(key, None)
        return self._loaded(key, channels) if block is None else block

    def keys(self) -> set[Key]:
        """Of all blocks to which something was added."""
        return {*self._held, *self._slots}

    def _keep_within_budget(self) -> None:
        while len(self._held) > 1 and sum(b.nbytes for b in self._held.values()) > self._budget:
            # Tiles come row by row: what was touched longest ago is needed last.
            key, block = self._held.popitem(last=False)
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115
            slot = self._free.pop() if self._free else len(self._slots)
            self._file.seek(slot * block.nbytes)
            self._file.write(block.data)
            self._slots[key] = slot

    def _loaded(self, key: Key, channels: int) -> Array | None:
        slot = self._slots.pop(key, None)
        if slot is None:
            return None
        assert self._file is not None
        block = np.empty((channels + 1, self._rows, self._width), np.float32)
        self._file.seek(slot * block.nbytes)
        if self._file.readinto(block.data) != block.nbytes:  # type: ignore[attr-defined]
            raise OSError("the scratch file of a run was cut short")
        self._free.append(slot)
        return block
