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


_KNOWN_S = 2.0
"""How long a list holds: the scheduler tells all of every worker for it."""


class Workers:
    """Lists the workers that can compute what is asked.

    Parameters
    ----------
    client
        Of their cluster.
    token
        Of the command: a worker that was not told of it, or refused it, is none.
    """

    def __init__(self, client: Client, token: str) -> None:
        self._client, self._token = client, token
        self._known: tuple[str, ...] = ()
        self._at = -_KNOWN_S

    def __call__(self) -> tuple[str, ...]:
        """Addresses, as they are now or were a moment ago."""
        now = time.monotonic()
        if not self._known or now - self._at >= _KNOWN_S:
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            wanted = computes(self._token)
            self._known = tuple(at for at, one in workers.items() if wanted in one["resources"])
            self._at = now
        return self._known
