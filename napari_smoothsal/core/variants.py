"""Variants of a spec: the same question with one thing changed, to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.core.specs import SaliencySpec

Varied = Literal["layer", "denoising", "method", "target"]
"""Fields of a spec that can be varied, each a name."""

OPTIONS_OF = {"denoising": "denoising_options", "method": "method_options"}
FEWEST, MOST = 2, 4
"""Columns beside each other."""


def variants(spec: SaliencySpec, varied: str, values: Sequence[str]) -> list[SaliencySpec]:
    """The spec once with each value.

    Options belong to the denoising or method that they were chosen for: another one has its
    defaults. So has a layer other than the one of which a channel was chosen.

    Parameters
    ----------
    spec
        What stays the same.
    varied
        Which field changes: ``layer``, ``denoising``, ``method`` or ``target``.
    values
        Its values, in order.

    Raises
    ------
    UnknownNameError
        If that field cannot be varied.
    """
    if varied not in get_args(Varied):
        raise UnknownNameError("field that can be compared", varied, get_args(Varied))
    return [_with(spec, varied, value) for value in values]


def check_columns(count: int) -> None:
    """So many columns can be compared.

    Raises
    ------
    SettingError
        If they are too few or too many.
    """
    if not FEWEST <= count <= MOST:
        raise SettingError(
            f"{count} column{'' if count == 1 else 's'} cannot be compared; choose {FEWEST} to "
            f"{MOST}"
        )


def _with(spec: SaliencySpec, varied: str, value: str) -> SaliencySpec:
    if getattr(spec, varied) == value:
        return spec
    changes: dict[str, object] = {varied: value}
    if varied in OPTIONS_OF:
        changes[OPTIONS_OF[varied]] = {}
    if varied == "layer" and spec.channel is not None:
        changes |= {"reduction": "sum", "channel": None}
    return spec.model_copy(update=changes)
