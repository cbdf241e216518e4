"""Names and legends of maps in plain words."""

from __future__ import annotations

from napari_smoothsal.runs import RunMap

RESEARCH_ONLY = "research use only; not a probability, not a diagnosis"


def map_title(run_map: RunMap) -> str:
    """Layer, denoising, method and what the colours stand for, on one line."""
    spec = run_map.spec
    parts = (spec.layer, plain(spec.denoising), plain(spec.method), sign_of(run_map.target))
    return " | ".join(parts)


def sign_of(target: str) -> str:
    """What positive and negative values mean for a target."""
    target = "the predicted class" if target == "auto" else target
    return f"supports {target} / speaks against"


def legend(run_map: RunMap) -> tuple[str, str]:
    """Captions of the positive and the negative end of the colours."""
    target = "the predicted class" if run_map.target == "auto" else run_map.target
    return f"supports {target}", f"speaks against {target}"


def plain(name: str) -> str:
    """A registered name as words."""
    return name.replace("_", " ")
