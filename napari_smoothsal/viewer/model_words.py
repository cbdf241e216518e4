"""What a model is, in words: a line for the status bar, and all that its card says as a tooltip.

Cards come with models that anybody may have made: what they say is text, never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from napari_smoothsal.viewer.offered import ModelDescribed

MOST_NOTES, MOST_CLASSES = 200, 12
"""Characters of notes that are said at once, and classes that the tooltip names."""
UNKNOWN = "not known"
DECIDES = {"classification": "one decision per tile", "segmentation": "one decision per pixel"}


def said_of(model: ModelDescribed) -> str:
    """What is said when it is ready: what it is for, its licence, and what is not known of it."""
    said = [model.intended_use or f"Model {model.name} is ready."]
    if model.licence:
        said.append(f"Licence: {model.licence}.")
    if model.notes:
        long = len(model.notes) > MOST_NOTES
        said.append("Point at its name for its notes." if long else model.notes)
    return " ".join(said)


def about(model: ModelDescribed) -> str:
    """All that is known of it, one paragraph for each, as rich text that Qt wraps."""
    facts = {
        "Decides": DECIDES[model.kind],
        "Classes": _listed(model.classes),
        "Resolution": _resolution(model),
        "Tile": f"{model.tile_px} x {model.tile_px} px",
        "Licence": model.licence or UNKNOWN,
        "Training data": model.training_data or UNKNOWN,
        "Intended use": model.intended_use or UNKNOWN,
        "Notes": model.notes,
    }
    told = [f"<b>{name}:</b> {escape(text)}" for name, text in facts.items() if text]
    return "<br>".join([f"<b>{escape(model.name)}</b>", *told])


def folders_in_words(formats: Sequence[str]) -> str:
    """Which folders hold a model that can be chosen, as rich text."""
    if not formats:
        return "A built-in model, or the folder of another one."
    listed = "".join(f"<li>{escape(says)}</li>" for says in formats)
    return (
        f"A built-in model, or a folder with<ul>{listed}</ul>"
        "Of weights alone, <code>smoothsal card new</code> makes such a folder."
    )


def _listed(classes: tuple[str, ...]) -> str:
    named = ", ".join(classes[:MOST_CLASSES])
    more = len(classes) - MOST_CLASSES
    return f"{named} and {more} more" if more > 0 else named


def _resolution(model: ModelDescribed) -> str:
    if model.input_mpp is not None:
        return f"{model.input_mpp:g} um per pixel"
    if model.given_mpp is not None:
        return f"{model.given_mpp:g} um per pixel, as entered here"
    return f"{UNKNOWN}; enter it beside model um per px"
