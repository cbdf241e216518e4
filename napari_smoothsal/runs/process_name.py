"""ProcessName: a process as others are told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessName:
    """A process that writes, or wrote.

    Attributes
    ----------
    pid, host
        Its number, and its computer.
    """

    pid: int
    host: str

    def is_same(self, other: ProcessName | None) -> bool:
        """Whether another is this very process, as far as its name tells."""
        return other is not None and (self.pid, self.host) == (other.pid, other.host)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"
