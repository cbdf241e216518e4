"""Clusters by name: workers on this machine, one a device, or a scheduler that runs already."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence

from distributed import Client, Nanny, Scheduler, SpecCluster

from napari_smoothsal.core.available_cores import available_cores
from napari_smoothsal.core.errors import ComputeError, SettingError
from napari_smoothsal.runs.at_worker import DEVICE

_LOCAL = re.compile(r"local:(\d+)")
_CONNECT_S = 20
_START_S = 90


@contextlib.contextmanager
def client_of(scheduler: str) -> Iterator[Client]:
    """Connect to a cluster.

    Parameters
    ----------
    scheduler
        Address of one, e.g. ``tcp://10.0.0.1:8786``, or ``local:4``: four workers of this machine.

    Raises
    ------
    SettingError
        If it is neither, or nothing answers there.
    """
    if local := _LOCAL.fullmatch(scheduler):
        if not int(local[1]):
            raise SettingError(f"scheduler = {scheduler!r}: give 1 worker or more")
        with local_client([""] * int(local[1])) as client:
            yield client
        return
    if "://" not in scheduler:
        raise SettingError(
            f"scheduler = {scheduler!r}: give its address, e.g. tcp://10.0.0.1:8786, or local:4 "
            "for four workers of this machine"
        )
    try:
        client = Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingError(
            f"scheduler = {scheduler!r}: nothing answers there ({error}); start one with `dask "
            "scheduler`, or look at its address"
        ) from error
    with client:
        yield client


@contextlib.contextmanager
def local_client(devices: Sequence[str]) -> Iterator[Client]:
    """Start a worker for each device, and end them with the block.

    Parameters
    ----------
    devices
        Names as of `Compute.device`; empty: what the command says.
    """
    threads = max(1, available_cores() // len(devices))
    workers = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": threads,
                "name": f"{device or 'local'}-{number}",
                "env": {DEVICE: device} if device else {},
                # A worker that meets the limit is ended; how much a pass may take is settled.
                "memory_limit": 0,
                "host": "127.0.0.1",
                "dashboard": False,
                "silence_logs": logging.ERROR,
                # Imported before there is anything to answer.
                "preload": ["napari_smoothsal.runs.at_worker"],
            },
        }
        for number, device in enumerate(devices)
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": ":0"}}
    try:
        cluster = SpecCluster(workers, scheduler=scheduler, silence_logs=logging.ERROR)
    except RuntimeError as error:
        raise ComputeError(
            f"the workers did not start ({error}); what they said is above. A script that asks for "
            'several needs its work within `if __name__ == "__main__":`'
        ) from error
    with cluster, Client(cluster) as client:
        client.wait_for_workers(len(devices), timeout=_START_S)
        yield client
