"""`dask worker --preload`: a worker on which an older napari-smoothsal is installed."""

import importlib.metadata

from distributed import versions

from napari_smoothsal.runs import versions as own

distribution = importlib.metadata.distribution


def version(name: str) -> str:
    old = name.replace("_", "-") == "napari-smoothsal"
    return "0.0.9" if old else distribution(name).version


importlib.metadata.version = versions.version = own.version = version
