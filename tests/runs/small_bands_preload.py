"""`dask worker --preload`: bands of 16 rows, as `small_runs.small_bands` gives to one process."""

import hashlib
import os

from napari_smoothsal.runs import layout, unit
from napari_smoothsal.runs.durable_store import DurableStore

layout.BAND = 16
layout.COARSEST_PX = 32
unit.MOST_TWICE = 9.0  # cut, whatever it costs

# Dask may load this twice into one process.
if (noted := os.environ.get("SMOOTHSAL_TEST_WRITES")) and DurableStore.set.__name__ == "set":
    _put = DurableStore.set

    async def put(store: DurableStore, key: str, value: object) -> None:
        """Note who writes which chunk of a map's finest level, and what."""
        await _put(store, key, value)
        if key.startswith("maps/") and "/0/c/" in key:
            sha256 = hashlib.sha256(value.to_bytes()).hexdigest()
            with open(noted, "a") as file:  # noqa: PTH123 - one write a line
                file.write(f"{os.getpid()} {store.root.name}/{key} {sha256}\n")

    DurableStore.set = put
