"""napari's settings of this plugin: the groups that the manifest declares."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-smoothsal"


def group(name: str) -> Any | None:
    """A group of settings; None in a viewer that does not know this plugin."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), name)
    except KeyError:
        return None


def setting(name: str, key: str, default: Any) -> Any:
    """One setting of a group; its default where napari does not know this plugin."""
    found = group(name)
    return default if found is None else getattr(found, key)
