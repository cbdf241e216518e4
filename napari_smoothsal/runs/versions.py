"""Which versions of which packages every process of a cluster must have."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

from napari_smoothsal.core.errors import SettingError

PACKAGES = ("napari-smoothsal", "torch", "numpy", "zarr")
"""Those that decide what is computed, sent and written."""


def own_versions() -> dict[str, str]:
    """Of this process, by name."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in PACKAGES}


def refuse_other_versions(who: str, wanted: Mapping[str, str]) -> None:
    """Refuse to work for a process that has other versions than this one.

    Raises
    ------
    SettingError
        Names what differs.
    """
    own = own_versions()
    differing = [f"{n} {own[n]} and not {wanted[n]}" for n in wanted if own.get(n) != wanted[n]]
    if differing:
        raise SettingError(
            f"{who} has {', '.join(differing)}; install the same versions everywhere, or do "
            "without it"
        )
