"""The base of every settings model: frozen, versioned, and its errors are this project's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from napari_smoothsal.core.errors import SettingError, UnknownNameError


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
            known = type(self).model_fields
            raise SettingError(_in_words(type(self).__name__, error, known)) from error


SettingsT = TypeVar("SettingsT", bound=Settings)


class Problem(NamedTuple):
    """What is wrong with a setting.

    Attributes
    ----------
    field
        Its name; empty where it is missing, or does not go together with others.
    value
        As given.
    remedy
        What to do about it; names the fields where ``field`` does not.
    """

    field: str
    value: Any
    remedy: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r}: {self.remedy}" if self.field else self.remedy


def problems_of(error: ValidationError, known: Iterable[str] = ()) -> list[Problem]:
    """What is wrong, field by field; of a field that there is not, which of the known is meant."""
    found: dict[str, Problem] = {}
    for told in error.errors():
        # Behind the field stand places in a list, and which of several types was tried.
        field = ".".join(str(p) for i, p in enumerate(told["loc"]) if not i or isinstance(p, int))
        remedy = _remedy(told)
        if told["type"] == "extra_forbidden" and (near := get_close_matches(field, known, n=1)):
            remedy += f"; did you mean {near[0]}?"
        if told["type"] == "missing":
            found[field] = Problem("", None, f"{field} {remedy}")
        elif field in found:
            either = f"{found[field].remedy}, or {remedy.removeprefix('give ')}"
            found[field] = Problem(field, told["input"], either)
        else:
            found[field] = Problem(field, told["input"], remedy)
    return list(found.values())


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
    UnknownNameError
        If its value is a name that there is not.
    """
    for name in given:
        if name not in model.model_fields:
            there = ", ".join(sorted(model.model_fields)) or "none"
            raise SettingError(f"{owner} has no option {name!r}; its options: {there}")
    try:
        return model(**given)
    except UnknownNameError as error:
        error.args = (f"{owner}: {error}",)
        raise
    except SettingError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        raise SettingError(_in_words(owner, error.__cause__)) from error.__cause__


_REMEDIES = {
    "missing": "has to be given",
    "extra_forbidden": "there is no such setting",
    "greater_than_equal": "give {ge} or more",
    "greater_than": "give more than {gt}",
    "less_than_equal": "give {le} or less",
    "less_than": "give less than {lt}",
    "finite_number": "give a finite number",
    "literal_error": "give {expected}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "give a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "give a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "give true or false"),
    "string_type": "give a text",
    "tuple_type": "give several values, with commas between them",
}
"""By pydantic's type of an error; the others say it themselves."""


def _remedy(told: ErrorDetails) -> str:
    if told["type"] in _REMEDIES:
        limits = told.get("ctx", {}).items()
        in_short = {n: f"{x:g}" if isinstance(x, float) else x for n, x in limits}
        return _REMEDIES[told["type"]].format(**in_short)
    message = told["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _in_words(owner: str, error: ValidationError, known: Iterable[str] = ()) -> str:
    return f"{owner}: {'; '.join(map(str, problems_of(error, known)))}"
