"""``--scheduler``: the Dask cluster that does the work of a run; none where it is not given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from napari_smoothsal.core.errors import SettingError

if TYPE_CHECKING:
    from distributed import Client

    from napari_smoothsal.models import Model
    from napari_smoothsal.runs.crew import Crew


def cluster_from(
    scheduler: str | None, devices: Sequence[str]
) -> AbstractContextManager[Client | None]:
    """Connect to a cluster, when the block is entered.

    Raises
    ------
    SettingError
        If several devices are given, too.
    """
    if scheduler is None:
        return nullcontext()
    if len(devices) > 1:
        raise SettingError(
            f"--scheduler {scheduler}: its workers have their devices; leave "
            f"--device {','.join(devices)} away"
        )
    from napari_smoothsal.runs.local_cluster import client_of

    return client_of(scheduler)


def crew_on(
    client: Client | None, model: Model, settings: Mapping[str, Any], name: str
) -> AbstractContextManager[Crew | None]:
    """Who computes the tiles of one slide: the workers of a cluster, or this process."""
    if client is None:
        return nullcontext()
    from napari_smoothsal.runs.on_cluster import cluster_crew

    return cluster_crew(client, model, settings, name)
