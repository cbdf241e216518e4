"""`dask worker --preload`: a worker on which an older napari-smoothsal is installed."""

import importlib.metadata

from distributed import versions

from napari_smoothsal.runs import versions as own

_version = importlib.metadata.version


def version(name: str) -> str:
    return "0.0.9" if name.replace("_", "-") == "napari-smoothsal" else _version(name)


importlib.metadata.version = versions.version = own.version = version
