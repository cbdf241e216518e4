"""What ``smoothsal evaluate`` can do: each is a `Mode`, and says by its parameters what it uses.

The command's flags are those of all its modes. What a mode has no parameter for has no use with it
and is refused by name, so that nothing that was typed is silently left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import typer

from napari_smoothsal.cli.flags import flags_of
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings

_GIVEN = "given"
_IN_PLACE = {"model": "factory"}
"""What may be given instead of an option that is needed."""


class Fields(NamedTuple):
    """Fields of a settings model that a mode uses.

    Attributes
    ----------
    model
        Its fields are flags.
    names
        Flags of those that are used; none: all.
    """

    model: type[Settings]
    names: tuple[str, ...] = ()

    @property
    def used(self) -> set[str]:
        """Names of the flags."""
        return set(self.names or flags_of(self.model))


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One thing that the command can do.

    Attributes
    ----------
    name
        Of the flag that chooses it; empty of the one that no flag chooses.
    title
        Help of that flag; of the one without, what it makes, for the message that nothing was
        chosen.
    run
        Does it. Its parameters are the options it uses, annotated for typer; those without a
        default are needed. One of the mode's own name is the flag that chooses it, with a value.
        Where it uses settings it takes the keyword ``given`` as well: field values as they were
        typed, without those that were not.
    settings
        Fields of settings that it uses.
    refusal
        What is said behind the name of an option that it has no use for.
    """

    name: str
    title: str
    run: Callable[..., None]
    settings: tuple[Fields, ...] = ()
    refusal: str

    @property
    def flag(self) -> str:
        """As it is typed."""
        return _flag(self.name)

    @property
    def options(self) -> list[inspect.Parameter]:
        """Its own, with what typer needs to know of them."""
        hints = get_type_hints(self.run, include_extras=True)
        parameters = inspect.signature(self.run).parameters.values()
        return [p.replace(annotation=hints[p.name]) for p in parameters if p.name != _GIVEN]

    @property
    def needs(self) -> list[str]:
        """Options that have to be given, or something in their place."""
        also = getattr(self.run, "needed", ())
        return [
            p.name
            for p in self.options
            if (p.default is p.empty or p.name in also) and p.name != self.name
        ]

    def lacks(self, typed: Collection[str]) -> bool:
        """Whether something that it needs was not typed."""
        return any(n not in typed and _IN_PLACE.get(n) not in typed for n in self.needs)

    @property
    def chooser(self) -> inspect.Parameter:
        """The flag that chooses it."""
        for option in self.options:
            if option.name == self.name:
                return _optional(option)
        flag = Annotated[bool, typer.Option(self.flag, help=self.title)]
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=flag
        )

    def start(self, typed: dict[str, Any]) -> None:
        """Run with what was typed.

        Raises
        ------
        SettingError
            If something has no use with it, or is missing.
        """
        own = {p.name for p in self.options}
        fields = {name for part in self.settings for name in part.used}
        for name in typed:
            if name not in own | fields | {self.name}:
                raise SettingError(f"{_shown(name)} has no use {self.refusal}")
        if self.lacks(typed):
            raise SettingError(f"{self.flag} needs {_listed(self.needs, 'and')}")
        values = {name: value for name, value in typed.items() if name in own}
        if self.settings:
            values[_GIVEN] = {name: value for name, value in typed.items() if name in fields}
        self.run(**values)


def modes_flags(
    modes: Sequence[Mode], repeated: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command: it does what the chosen one of its modes does.

    Parameters
    ----------
    modes
        The one without a flag among them runs where none of the others is chosen.
    repeated
        Fields of settings that may be given several times.

    Returns
    -------
    decorator
        Of a function that gives the command its name and its help; it is never called.
    """
    chosen_by = [mode for mode in modes if mode.name]
    (default,) = (mode for mode in modes if not mode.name)
    parameters: dict[str, inspect.Parameter] = {}
    options = [option for mode in modes for option in mode.options]
    for option in options:
        parameters.setdefault(option.name, _optional(option))
        if any(o.name == option.name and o.default != option.default for o in options):
            # Of several defaults the help itself tells.
            parameters[option.name] = _optional(option.replace(default=None))
    for mode in chosen_by:
        parameters[mode.name] = mode.chooser
    settings = dict.fromkeys(part.model for mode in modes for part in mode.settings)
    for name, flag in flags_of(*settings, repeated=repeated).items():
        parameters.setdefault(name, flag)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def called(**values: Any) -> None:
            typed = {name: v for name, v in values.items() if v is not None and v != []}
            for mode in chosen_by:
                if typed.get(mode.name) is False:
                    del typed[mode.name]
            asked = [mode for mode in chosen_by if mode.name in typed]
            if len(asked) > 1:
                raise SettingError(
                    f"choose one evaluation: {_listed([m.name for m in asked], 'or')}"
                )
            if not asked and default.lacks(typed):
                raise SettingError(
                    f"choose what to evaluate: {_listed([m.name for m in chosen_by], 'or')}, or "
                    f"give {_listed(default.needs, 'and')} for {default.title}"
                )
            (asked[0] if asked else default).start(typed)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters.values()}
        return called

    return decorate


def _optional(option: inspect.Parameter) -> inspect.Parameter:
    """The option as one that may be left away; modes have the defaults, and its help tells them."""
    kind, info = _told(option.annotation)
    if option.default not in (None, option.empty, ()):
        info = copy(info)
        info.help = f"{info.help} [default: {option.default}]"
    return option.replace(
        kind=option.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _told(annotation: Any) -> tuple[Any, Any]:
    """Type and typer's information of ``Annotated[type, info]``, or of that or None."""
    if get_origin(annotation) is not Annotated:
        annotation = next(a for a in get_args(annotation) if get_origin(a) is Annotated)
    kind, info = get_args(annotation)
    return kind, info


def _shown(name: str) -> str:
    return "STORE" if name == "store" else _flag(name)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _listed(names: Sequence[str], word: str) -> str:
    flags = [_flag(name) for name in names]
    return " ".join((", ".join(flags[:-1]), word, flags[-1])) if len(flags) > 1 else flags[0]
