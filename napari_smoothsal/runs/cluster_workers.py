"""The workers of a Dask cluster that can compute, and how much is given to them at a time.

Each is given one task that computes, and the next when that has ended: of a worker that dies, Dask
counts a death to every task that it was given, and after some gives these up.
"""

from __future__ import annotations

import time

from distributed import Client


def computes(token: str) -> str:
    """The resource of which a worker has one piece, for the task of a command that computes."""
    return f"smoothsal-computes-{token}"


def plans(token: str) -> str:
    """The resource of which it has many, for tasks of a command that compute nothing."""
    return f"smoothsal-plans-{token}"


_KNOWN_S = 2.0
"""How long a count holds: the scheduler tells all of every worker for it."""


class WorkerCount:
    """Counts the workers that can compute what is asked.

    Parameters
    ----------
    client
        Of their cluster.
    token
        Of the command: a worker that was not told of it, or refused it, is none.
    """

    def __init__(self, client: Client, token: str) -> None:
        self._client, self._token = client, token
        self._counted, self._at = 0, -_KNOWN_S

    def __call__(self) -> int:
        """As they are now, or were a moment ago."""
        now = time.monotonic()
        if not self._counted or now - self._at >= _KNOWN_S:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            self._counted = sum(computes(self._token) in worker["resources"] for worker in workers)
            self._at = now
        return self._counted
