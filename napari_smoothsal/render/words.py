"""Names and legends of maps in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_smoothsal.runs import RunMap

RESEARCH_ONLY = "research use only; not a probability, not a diagnosis"
BELOW = "not above the limits"
"""What is clear in a map that is shown only above its limits."""
GREY = "grey: not computed"
GREY_OF_A_PART = f"{GREY} (outside what was asked for, or without tissue)"
HATCHED = "hatched: the model predicts another class there"


def map_title(run_map: RunMap) -> str:
    """Layer, denoising and method with what they were told, and what the colours stand for."""
    spec = run_map.spec
    sign = " / ".join(filter(None, (legend(run_map)[0], run_map.negative)))
    denoising, method = plain(spec.denoising_label), plain(spec.method_label)
    return " | ".join((spec.layer_label, denoising, method, sign))


def legend(run_map: RunMap) -> tuple[str, str]:
    """Captions of the positive and the negative end of the colours; see `captions`."""
    verbs = run_map.positive, run_map.negative
    if not run_map.of_the_target:
        return verbs
    return captions(verbs, "the predicted class" if run_map.target == "auto" else run_map.target)


def captions(verbs: tuple[str, str], target: str) -> tuple[str, str]:
    """Verbs of a target; none of the negative end where no value lies there."""
    positive, negative = verbs
    return f"{positive} {target}", f"{negative} {target}" if negative else ""


def at_zero(run_map: RunMap) -> str:
    """Caption of the middle of the colours."""
    return "no influence" if run_map.of_the_target else "silent"


def plain(name: str) -> str:
    """A registered name, with or without options, as words."""
    return name.replace("_", " ")
