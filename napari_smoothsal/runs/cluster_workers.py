"""The workers of a Dask cluster that can compute, and how much is given to them at a time.

Each is given one task that computes, and the next when that has ended: of a worker that dies, Dask
counts a death to every task that it was given, and after some gives these up.
"""

from __future__ import annotations

from distributed import Client

COMPUTES, PLANS = "smoothsal-computes", "smoothsal-plans"
"""Resources: a worker offers one piece of the first, and any number of the second, to tasks that
compute nothing."""


def computing_workers(client: Client) -> int:
    """Workers that can compute what is asked."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(COMPUTES in worker["resources"] for worker in workers)
