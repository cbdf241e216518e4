"""What the dock was set to last, in napari's settings of this plugin."""

from __future__ import annotations

import json
from typing import Any

PLUGIN, GROUP, PROPERTY = "napari-smoothsal", "saliency", "last_settings"


def remembered() -> dict[str, Any]:
    """What was remembered; empty where nothing was, or it cannot be read."""
    group = _group()
    if group is None:
        return {}
    try:
        found = json.loads(getattr(group, PROPERTY) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def remember(values: dict[str, Any]) -> None:
    """Write it, where napari knows this plugin."""
    group = _group()
    if group is not None:
        setattr(group, PROPERTY, json.dumps(values, sort_keys=True))


def _group() -> Any | None:
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), GROUP)
    except KeyError:
        return None  # a viewer without plugins
