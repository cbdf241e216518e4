"""What the Verdicts dock says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_smoothsal.runs.verdicts import Said

NO_MAP = (
    "Open a saliency store, or explain a slide or a region: verdicts are kept beside the store of "
    "a map."
)
SAID: dict[Said, str] = {
    "agree": "The model looks at what it should look at.",
    "artefact": "It looks at ink, a fold, a blurred place: at nothing of the tissue.",
    "wrong": "It looks at tissue, but that says something else.",
}
TOOLTIPS = {
    "percentile": "Of the map's magnitudes: a hotspot is a connected region above it, of one sign.",
    "search": "List the map's strongest regions that nobody has judged yet.",
    "point": "The next click on the slide adds the hotspot there, or a circle of 50 um.",
    "drawn": "Add the chosen shapes of a Shapes layer, or all of them.",
    "remove": "Take back what was said of the chosen place, or take it off the list.",
    "export": "All verdicts as GeoJSON (for QuPath) or as a table (CSV).",
}
"""Of the dock's controls, by name."""


def found_in_words(found: int, judged: int) -> str:
    """What has come of looking for places, so many of which have a verdict already."""
    if not found:
        return "Nothing is above that percentile: the map is empty."
    already = f", {judged} of them judged already" if judged else ""
    places = "1 place" if found == 1 else f"{found} places"
    return f"{places} found{already}. Choose one in the list, and say what it is."


def kept_in_words(count: int, file: str) -> str:
    """How many verdicts there are, in which file beside the store."""
    if not count:
        return "Nobody has judged this map yet: find its hotspots, or point at a place."
    verdicts = "1 verdict" if count == 1 else f"{count} verdicts"
    return f"{verdicts} kept in {file}, beside the store."
