"""What the dock was set to last, in napari's settings of this plugin."""

from __future__ import annotations

import json
from typing import Any

from napari_smoothsal.viewer.plugin_settings import group, setting

GROUP, PROPERTY = "saliency", "last_settings"


def remembered() -> dict[str, Any]:
    """What was remembered; empty where nothing was, or it cannot be read."""
    try:
        found = json.loads(setting(GROUP, PROPERTY, default="") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def remember(values: dict[str, Any]) -> None:
    """Write it, where napari knows this plugin."""
    found = group(GROUP)
    if found is not None:
        setattr(found, PROPERTY, json.dumps(values, sort_keys=True))
