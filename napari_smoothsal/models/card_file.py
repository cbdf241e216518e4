"""The fields of a JSON description that lies beside weights, of a model or a surrogate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_smoothsal.core.errors import ModelError


def card_fields(path: Path, whose: str, most_bytes: int) -> dict[str, Any]:
    """Read them; nothing in the file can run code.

    Parameters
    ----------
    path, whose
        The file, and what it describes, for the messages.
    most_bytes
        A larger file is refused unread.

    Raises
    ------
    ModelError
        If it is too large, or holds no JSON object.
    """
    if path.stat().st_size > most_bytes:
        raise ModelError(
            f"{whose}: {path.name} is larger than {most_bytes >> 20} MiB; that is no description"
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{whose}: {path.name} is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ModelError(f"{whose}: {path.name} must be a JSON object")
    return fields
