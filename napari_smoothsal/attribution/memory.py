"""How many rows one pass may hold; fewer once memory has run out.

On a CPU this is the second line of defence: native code that is refused memory may crash before
it says so (seen in 3 of 25 runs under a limit of address space). The first is the budget in bytes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from napari_smoothsal.core.errors import ComputeError

Item = TypeVar("Item")
Result = TypeVar("Result")


class RowLimit:
    """Cuts work into parts that fit into memory.

    Parameters
    ----------
    limit
        Largest number of rows of a part to begin with.
    on_halved
        Told in words whenever it is halved.

    Attributes
    ----------
    limit
        Now; it is halved where memory runs out, and stays so.
    """

    def __init__(self, limit: int, on_halved: Callable[[str], None]) -> None:
        self.limit = limit
        self._on_halved = on_halved

    def parts(
        self, items: Sequence[Item], run: Callable[[Sequence[Item]], Result]
    ) -> Iterator[tuple[Sequence[Item], Result]]:
        """Run over all items, part by part; gives each part and what became of it.

        Raises
        ------
        ComputeError
            Where not even one row fits.
        """
        start = 0
        while start < len(items):
            part = items[start : start + self.limit]
            try:
                result = run(part)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise ComputeError(
                        "memory ran out with a single tile in the pass; choose smaller tiles, a "
                        f"higher layer or another device ({type(error).__name__})"
                    ) from error
                self.limit = len(part) // 2
            else:
                yield part, result
                start += len(part)
                continue
            # Out of the handler, whose traceback holds the tensors of the pass that failed.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._on_halved(
                f"memory ran out with {len(part)} rows in a pass; going on with {self.limit}"
            )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator and oneDNN have no exception of their own; the latter says of an
    # allocation that failed that it "could not create" something.
    text = str(error)
    return "can't allocate memory" in text or "could not create a " in text
