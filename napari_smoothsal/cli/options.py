"""Options given by name=value, for those of several denoisings or methods that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.registry import Registry


def options_by_name(
    entries: Registry[Any], chosen: Sequence[str], given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The options of each entry that was chosen.

    Parameters
    ----------
    entries
        All denoisings, or all methods.
    chosen
        Names of some.
    given
        What they are told: ``NAME.option`` is for one, ``option`` for all that have it.

    Raises
    ------
    SettingError
        If an option is for one that was not chosen, or none has it.
    UnknownNameError
        If there is no entry of a name.
    """
    fields = {name: entries[name].options.model_fields for name in chosen}
    options: dict[str, dict[str, Any]] = {name: {} for name in fields}
    # What is for one comes last, and so counts.
    for flag, value in sorted(given.items(), key=lambda pair: "." in pair[0]):
        name, _, option = flag.rpartition(".")
        if name and entries[name].name not in fields:
            raise SettingError(
                f"--{entries.what}-option {flag}: {entries.what} {name!r} was not chosen; give "
                f"--{entries.what} {name} as well, or leave the option away"
            )
        among = [name] if name else list(fields)
        having = [one for one in among if option in fields[one]]
        if not having:
            known = sorted({option for one in among for option in fields[one]})
            lacking = (
                f"{entries.what} {among[0]!r} has no such option"
                if len(among) == 1
                else f"none of the {entries.what}s {', '.join(among)} has it"
            )
            raise SettingError(
                f"--{entries.what}-option {flag}: {lacking}; there are: "
                f"{', '.join(known) or 'none'}"
            )
        for one in having:
            options[one][option] = value
    return options
