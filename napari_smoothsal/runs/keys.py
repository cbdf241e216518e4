"""Map keys: ``layer.denoising.method.target``, unique within a run and never parsed.

``+jitter`` stands after the denoising, ``+channel17`` after the layer of which one is shown. Where
specs differ in nothing of that, what they do differ in stands there, too: options after the
denoising or method that has them (``input.original.rise+masks=500.tumour``), the rest at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from napari_smoothsal.core.specs import SaliencySpec

_SAID = {"layer", "channel", "denoising", "jitter", "method", "target"}
_OPTIONS = {"denoising_options", "method_options"}


def map_keys(specs: Sequence[SaliencySpec], targets: Sequence[str]) -> list[str]:
    """One key per spec; ``~2``, ``~3`` where they are of equal specs.

    Parameters
    ----------
    specs, targets
        Specs and the labels of their resolved targets.
    """
    short = [_key(spec, target) for spec, target in zip(specs, targets, strict=True)]
    keys: list[str] = []
    for spec, target, base in zip(specs, targets, short, strict=True):
        alike = [other for other, its in zip(specs, short, strict=True) if its == base]
        key = base = _key(spec, target, alike)
        number = 1
        while key in keys:
            number += 1
            key = f"{base}~{number}"
        keys.append(key)
    return keys


def _key(spec: SaliencySpec, target: str, alike: Sequence[SaliencySpec] = ()) -> str:
    """Of a spec, to be told from others that are like it."""
    channel = "" if spec.channel is None else f"+channel{spec.channel}"
    jitter = "+jitter" if spec.jitter else ""
    of_denoising = _differing(spec.denoising_options, [one.denoising_options for one in alike])
    of_method = _differing(spec.method_options, [one.method_options for one in alike])
    rest = _differing(_rest(spec), map(_rest, alike))
    parts = (
        spec.layer + channel,
        spec.denoising + of_denoising + jitter,
        spec.method + of_method,
        target + rest,
    )
    return ".".join(re.sub(r"[^A-Za-z0-9_.+=-]", "_", part) for part in parts)


def _differing(own: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str:
    others = list(others)
    return "".join(
        f"+{name}={value}"
        for name, value in own.items()
        if any(name not in one or one[name] != value for one in others)
    )


def _rest(spec: SaliencySpec) -> dict[str, Any]:
    return spec.model_dump(exclude=_SAID | _OPTIONS)
