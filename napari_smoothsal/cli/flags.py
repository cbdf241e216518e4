"""Command-line flags made from the fields of settings models, so that a new field is a new flag."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Problem, Settings, SettingsT, problems_of

_HIDDEN = {"schema_version"}
_OPTION_MAPS = {"denoising_options": "denoising_option", "method_options": "method_option"}


def settings_flags(
    *models: type[Settings], repeated: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command: the fields of settings models become its flags.

    Parameters
    ----------
    *models
        Their fields, by name, with hyphens; descriptions become help texts. A dictionary of
        options ``x_options`` becomes the repeatable ``--x-option name=value``.
    repeated
        Fields that may be given several times, as lists.

    Returns
    -------
    decorator
        The command receives what was given as the keyword ``given``: field values as they were
        typed, without those that were not. The settings models themselves validate them.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(command, include_extras=True)
        own = [
            p.replace(annotation=hints[p.name])
            for p in inspect.signature(command).parameters.values()
            if p.name != "given"
        ]
        made = flags_of(*models, repeated=repeated)

        @wraps(command)
        def called(**values: Any) -> Any:
            given = {name: values.pop(name) for name in made}
            given = {name: value for name, value in given.items() if value not in (None, [])}
            return command(**values, given=given)

        called.__signature__ = inspect.Signature([*own, *made.values()])  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in [*own, *made.values()]}
        return called

    return decorate


def flags_of(
    *models: type[Settings], repeated: tuple[str, ...] = ()
) -> dict[str, inspect.Parameter]:
    """The flags of settings models, by name; see `settings_flags`."""
    made = {}
    for model in models:
        for name, field in model.model_fields.items():
            if name not in _HIDDEN:
                flag = _flag(name, field, name in repeated)
                made[flag.name] = flag
    return made


def fields_of(model: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """The part of what was given that belongs to one settings model."""
    own = {}
    for name in model.model_fields:
        flag = _OPTION_MAPS.get(name, name)
        if flag in given:
            own[name] = options_from(given[flag]) if name in _OPTION_MAPS else given[flag]
    return own


def settings_from(model: type[SettingsT], given: Mapping[str, Any]) -> SettingsT:
    """The settings of what was given; what is wrong with them is said of the flags.

    Raises
    ------
    SettingError
        Where a value cannot work.
    """
    try:
        return model(**fields_of(model, given))
    except SettingError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        said = "; ".join(map(_of_flag, problems_of(error.__cause__)))
        raise SettingError(said) from error.__cause__


def _of_flag(problem: Problem) -> str:
    if not problem.field:
        return problem.remedy
    return f"--{problem.field.replace('_', '-')} {problem.value}: {problem.remedy}"


def options_from(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs as a dictionary; numbers, true and false become what they say."""
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise SettingError(f"option {pair!r} is not of the form name=value")
        options[name.strip()] = _value(value.strip())
    return options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _flag(name: str, field: FieldInfo, repeated: bool) -> inspect.Parameter:
    listed = repeated or name in _OPTION_MAPS
    flag = _OPTION_MAPS.get(name, name)
    kind = _kind(field.annotation)
    # A field of one possible value has nothing to choose yet.
    hidden = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    text = field.description or ""
    if name in _OPTION_MAPS:
        one = name.removesuffix("_options").upper()
        text += f" {one}.name=value is for one of several, name=value for all that have it."
    if listed:
        text += " May be given several times."
    if not field.is_required() and field.default not in (None, "") and name not in _OPTION_MAPS:
        text += f" [default: {field.default}]"
    annotation = list[kind] | None if listed else kind | None  # type: ignore[valid-type]
    default = typer.Option(None, f"--{flag.replace('_', '-')}", help=text, hidden=hidden)
    return inspect.Parameter(
        flag,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=annotation,
    )


def _kind(annotation: Any) -> type:
    """What typer should parse; unions and choices stay text, which the model validates."""
    if annotation in (int, float, bool, str):
        return annotation  # type: ignore[no-any-return]
    arguments = [a for a in get_args(annotation) if a is not type(None)]
    if len(arguments) == 1 and arguments[0] in (int, float, bool):
        return arguments[0]  # type: ignore[no-any-return]
    if get_origin(annotation) is Literal and isinstance(arguments[0], bool):
        return bool
    return str
