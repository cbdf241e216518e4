"""Map keys: ``layer.denoising.method.target``, unique within a run and never parsed.

``+jitter`` stands after the denoising, ``+channel17`` after the layer of which one is shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_smoothsal.core.specs import SaliencySpec


def map_keys(specs: Sequence[SaliencySpec], targets: Sequence[str]) -> list[str]:
    """One key per spec; ``~2``, ``~3`` where specs would collide.

    Parameters
    ----------
    specs, targets
        Specs and the labels of their resolved targets.
    """
    keys: list[str] = []
    for spec, target in zip(specs, targets, strict=True):
        jitter = "+jitter" if spec.jitter else ""
        channel = "" if spec.channel is None else f"+channel{spec.channel}"
        parts = (spec.layer + channel, spec.denoising + jitter, spec.method, target)
        key = base = ".".join(re.sub(r"[^A-Za-z0-9_.+-]", "_", part) for part in parts)
        number = 1
        while key in keys:
            number += 1
            key = f"{base}~{number}"
        keys.append(key)
    return keys
