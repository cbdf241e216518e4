"""Options given by name=value, for those of several denoisings that have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_smoothsal.core.errors import SettingError


def options_by_denoising(names: Sequence[str], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each denoising: of what was given, what it has.

    Raises
    ------
    SettingError
        If none of them has an option, or a name is no denoising.
    """
    from napari_smoothsal.denoise import DENOISINGS

    fields = {name: DENOISINGS[name].options.model_fields for name in names}
    for option in given:
        if not any(option in there for there in fields.values()):
            known = sorted({option for there in fields.values() for option in there})
            raise SettingError(
                f"--denoising-option {option}: none of the denoisings {', '.join(names)} has it; "
                f"they have: {', '.join(known) or 'none'}"
            )
    return {
        name: {option: value for option, value in given.items() if option in there}
        for name, there in fields.items()
    }
