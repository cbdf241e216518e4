"""The base of every settings model: frozen, versioned, and its errors are this project's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_smoothsal.core.errors import SettingError


class Settings(BaseModel):
    """A frozen pydantic model whose validation errors name the field, the value and the remedy.

    Raises
    ------
    SettingError
        On construction, where a field is unknown or its value cannot work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SettingError(_in_words(type(self).__name__, error)) from error


SettingsT = TypeVar("SettingsT", bound=Settings)


def checked_options(owner: str, model: type[SettingsT], given: Mapping[str, Any]) -> SettingsT:
    """Validate the options of a registry's entry by its own settings model.

    Parameters
    ----------
    owner
        As messages call it: ``"denoising 'original'"``.
    model, given
        Its settings model and what the user gave.

    Raises
    ------
    SettingError
        If there is no such option, or its value cannot work.
    """
    for name in given:
        if name not in model.model_fields:
            there = ", ".join(sorted(model.model_fields)) or "none"
            raise SettingError(f"{owner} has no option {name!r}; its options: {there}")
    return model(**given)


def _in_words(owner: str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(["", *(str(part) for part in problem["loc"])])
        message = problem["msg"].removeprefix("Value error, ")
        # What concerns several fields names them itself.
        told = problem["type"] == "missing" or not field
        given = "" if told else f" = {problem['input']!r}"
        lines.append(f"{owner}{field}{given}: {message[0].lower() + message[1:]}")
    return "; ".join(lines)
