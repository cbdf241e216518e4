"""Options of denoisings and methods, as they reach napari's process: JSON Schema and back.

Their settings models live beside code that needs torch, which napari's process never imports. The
engine sends the schema that pydantic makes of such a model; from it the fields are made again, with
defaults, choices, limits and descriptions. What joins several fields stays with the engine.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import NoneType
from typing import Any, Literal

from pydantic import Field, JsonValue, create_model

from napari_smoothsal.core.settings import Settings

Schema = dict[str, JsonValue]

_KINDS: dict[Any, Any] = {
    "string": str,
    "number": float,
    "integer": int,
    "boolean": bool,
    "null": NoneType,
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def schema_of(model: type[Settings]) -> Schema:
    """JSON Schema of a settings model whose fields are numbers, texts, choices or switches."""
    return model.model_json_schema()


def settings_of(schema: Schema) -> type[Settings]:
    """A settings model with the fields of a schema."""
    properties: Any = schema.get("properties", {})
    fields: dict[str, Any] = {name: _field(part) for name, part in properties.items()}
    return create_model(str(schema["title"]), __base__=Settings, **fields)


def _field(part: dict[str, Any]) -> tuple[Any, Any]:
    alternatives = [part] if "enum" in part else part.get("anyOf", [part])
    limits = {
        ours: one[theirs]
        for one in alternatives
        for ours, theirs in _LIMITS.items()
        if theirs in one
    }
    kinds = [_kind(one) for one in alternatives]
    kind: Any = reduce(or_, kinds)
    return kind, Field(part["default"], description=part.get("description"), **limits)


def _kind(part: dict[str, Any]) -> Any:
    if "enum" in part:
        return Literal[tuple(part["enum"])]
    return _KINDS[part["type"]]
