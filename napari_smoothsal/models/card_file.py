"""JSON descriptions that lie beside weights: of a model, a surrogate, a calibration."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_smoothsal.core.errors import ModelError

MOST_JSON_BYTES = 1 << 20
"""Of a model's card or configuration."""

_MOST_DIGITS = 40
_MOST_NESTED = 64


def card_fields(path: Path, whose: str) -> dict[str, Any]:
    """A model's card, or some of its fields, from a JSON file; see `json_object`."""
    fields = json_object(path, whose, MOST_JSON_BYTES)
    fields.pop("$schema", None)  # by which editors find what a card may say
    return fields


def json_object(path: Path, whose: str, most_bytes: int) -> dict[str, Any]:
    """Read a description; nothing in it can run code, and it takes memory as its size allows.

    Parameters
    ----------
    path, whose
        The file, and what it describes, for the messages.
    most_bytes
        A larger file is refused unread.

    Raises
    ------
    ModelError
        If it is missing, too large or no JSON object; if it nests deeply, says a thing twice, or
        has a number that no computer number is (NaN, infinity, thousands of digits).
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(most_bytes + 1)
    except OSError as error:
        raise ModelError(f"{whose}: {path.name} cannot be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise ModelError(
            f"{whose}: {path.name} is larger than {most_bytes >> 20} MiB; that is no description"
        )
    try:
        fields = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_said_once,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
        _refuse_deep(fields)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{whose}: {path.name} is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ModelError(f"{whose}: {path.name} must be a JSON object")
    return fields


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers differ in which of two values counts, so that a file could say different things.
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"{name[:40]!r} is there twice")
        fields[name] = value
    return fields


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _refuse_deep(fields: Any) -> None:
    level = [fields]
    for _ in range(_MOST_NESTED):
        level = [inner for value in level for inner in _held(value)]
        if not level:
            return
    raise ValueError(f"it nests more than {_MOST_NESTED} levels")


def _held(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
