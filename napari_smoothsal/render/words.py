"""Names and legends of maps in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_smoothsal.runs import Run, RunMap

MOST_CLASSES = 4
"""That a title names."""

RESEARCH_ONLY = "research use only; not a probability, not a diagnosis"
BELOW = "not above the limits"
"""What is clear in a map that is shown only above its limits."""
GREY = "grey: not computed"
GREY_OF_A_PART = f"{GREY} (outside what was asked for, or without tissue)"
HATCHED = "hatched: the model predicts another class there"
DOTTED = "dotted: predicted, not explained"
CROSSED = "crossed out: could not be read or computed"
UNREADABLE = "dark grey: the slide cannot be read there, its file is damaged"
LIMITS_UNUSED = "limits of maps are not used beside a map that has none"

Counted = Literal["noise samples", "changed images", "iterations"]
"""What a map is made of several of."""


def dotted_in_words(count: int, of: int, choice: str) -> str:
    """What dots say, of how many tiles, and which ones are explained."""
    explained = f"; explained: {choice}" if choice else ""
    return f"{DOTTED} ({count:,} of {of:,} tiles{explained})"


def crossed_in_words(count: int, of: int) -> str:
    """What crosses say, of how many tiles."""
    return f"{CROSSED} ({count:,} of {of:,} tiles)"


def counted_in(method: str) -> Counted:
    """What the maps of a method are made of several of."""
    # Imported here: the viewer needs the words, and nothing that computes.
    from napari_smoothsal.attribution import METHODS
    from napari_smoothsal.attribution.base import ImageMethod, MaskMethod

    if isinstance(METHODS[method], MaskMethod):
        return "iterations"
    return "changed images" if isinstance(METHODS[method], ImageMethod) else "noise samples"


def drawn_in_words(run: Run, run_map: RunMap) -> list[str]:
    """How many noise samples, or what else, a map is made of; nothing of one that needs none."""
    count = float(run.tiles[f"samples_{run_map.key}"].median())
    return [f"{count:.0f} {counted_in(run_map.spec.method)}"] if count > 1 else []


def target_in_words(run: Run, run_map: RunMap) -> str:
    """What a map explains; where that is what is predicted, also what that is, and how often."""
    if run_map.target != "auto":
        return f"\u201c{run_map.target}\u201d"
    explained = run.tiles[run.tiles["status"] == "done"]
    counts = explained["predicted"].value_counts()
    some = ", ".join(f"{name} in {count:,}" for name, count in counts[:MOST_CLASSES].items())
    more = f", {len(counts) - MOST_CLASSES} more" if len(counts) > MOST_CLASSES else ""
    tiles = "tile" if list(counts) == [1] else "tiles"
    return "the predicted class" + (f" ({some}{more} {tiles})" if some else "")


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
