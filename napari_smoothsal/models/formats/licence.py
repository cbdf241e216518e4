"""The licence of a model, where its folder tells."""

from __future__ import annotations

from pathlib import Path

_MOST_CHARACTERS = 1 << 16
_TEXTS = {
    "Apache License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD 3-Clause": "BSD-3-Clause",
    "CC0 1.0": "CC0-1.0",
    "Attribution-NonCommercial-ShareAlike 4.0": "CC-BY-NC-SA-4.0",
    "Attribution 4.0": "CC-BY-4.0",
}
"""By words in the first lines of a licence's text."""
_FIRST_LINES = 400


def licence_in(folder: Path) -> str | None:
    """By the front matter of ``README.md``, as model hubs have it, else by a file ``LICENSE``."""
    for line in _head(folder / "README.md").split("---")[1:2]:
        for field in line.splitlines():
            name, _, value = field.partition(":")
            if name.strip() == "license" and value.strip():
                return value.strip().strip("'\"")
    text = _head(folder / "LICENSE")[:_FIRST_LINES]
    return next((short for words, short in _TEXTS.items() if words in text), None)


def _head(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_MOST_CHARACTERS)
