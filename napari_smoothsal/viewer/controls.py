"""Controls generated from the fields of a settings model.

A new field of `SaliencySpec` appears by itself. Numbers are not clamped to what is allowed: a
value that cannot work stays as it was typed, is marked, and the model's own message says why.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings

WIDEST = 1_000_000
UNSET = "auto"
"""Stands in an empty line: its tooltip says what is taken then."""
DECIMALS_STEP = 0.05
NARROWEST = 12
"""Letters of a choice that are seen at least."""
MARK = "border: 2px solid #d9480f;"
WRONG = "color: #ff922b;"
"""Of words about it."""

LABELS = {"sigma": "noise (sigma)", "samples": "noise samples", "reduction": "channels"}


def control_for(
    name: str, field: FieldInfo, choices: bool = False, labels: Mapping[str, str] = LABELS
) -> Any | None:
    """A magicgui widget for one field; None where there is nothing to choose.

    Parameters
    ----------
    name, field
        Of a pydantic model; the description becomes the tooltip.
    choices
        Whether its values are names that are filled in later.
    labels
        What fields are called, where it is not their name in words.
    """
    options: dict[str, Any] = {
        "name": name,
        "label": labels.get(name, name.replace("_", " ")),
        "tooltip": (field.description or "").replace("`", "'"),
    }
    kind: Any = field.annotation
    if choices:
        return _narrow(ComboBox(choices=(), **options))
    if get_origin(kind) is Literal:
        values = [(_in_words(value), value) for value in get_args(kind)]
        if len(values) < 2:
            return None
        return _narrow(ComboBox(choices=values, value=field.default, **options))
    if kind is bool:
        box = CheckBox(value=field.default, **options)
        box.text = ""  # its label stands beside it already
        return box
    if kind is int:
        return SpinBox(value=field.default, min=-WIDEST, max=2**31 - 1, **options)
    if kind is float:
        # It holds no more decimals than its step has: not even a default that is finer.
        step = min(DECIMALS_STEP, abs(field.default) or DECIMALS_STEP)
        return FloatSpinBox(value=field.default, min=-WIDEST, max=WIDEST, step=step, **options)
    union = get_origin(kind) in (Union, types.UnionType)
    if kind is str or (union and (_takes_words(get_args(kind)) or _may_be_unset(get_args(kind)))):
        line = LineEdit(value="" if field.default is None else str(field.default), **options)
        if field.default is None:
            line.native.setPlaceholderText(UNSET)
        return line
    return None


def _narrow(box: Any) -> Any:
    """Long choices are cut in the closed box, not in the list: they would take the canvas' room."""
    box.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.native.setMinimumContentsLength(NARROWEST)
    return box


def _in_words(value: Any) -> str:
    return "none" if value is None else str(value).replace("_", " ")


def _takes_words(kinds: tuple[Any, ...]) -> bool:
    """Whether one of several kinds of values is text: any, or a word such as ``auto``."""
    return str in kinds or any(get_origin(kind) is Literal for kind in kinds)


def _may_be_unset(kinds: tuple[Any, ...]) -> bool:
    """Whether it is a number, or nothing: an empty line."""
    return type(None) in kinds and bool({int, float} & set(kinds))


def value_of(control: Any) -> Any:
    """What is entered; None where a line is empty."""
    return None if control.value == "" else control.value


def controls_for(
    model: type[Settings], named: Iterable[str] = (), labels: Mapping[str, str] = LABELS
) -> dict[str, Any]:
    """Controls of all fields that have one; ``named`` are those whose choices come later."""
    names = set(named)
    found = {
        name: control_for(name, field, name in names, labels)
        for name, field in model.model_fields.items()
        if name != "schema_version"
    }
    return {name: control for name, control in found.items() if control is not None}


def form_rows(layout: QVBoxLayout, controls: Mapping[str, Any]) -> QFormLayout:
    """Controls below each other, each beside its label."""
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for control in controls.values():
        label = QLabel(control.label)
        label.setToolTip(control.tooltip)
        form.addRow(label, control.native)
    layout.addLayout(form)
    return form


def set_choices(control: Any, choices: list[tuple[str, Any]], value: Any = None) -> None:
    """Give a ComboBox new (label, value) choices; keeps its value where it still exists."""
    before = control.value
    there = [data for _, data in choices]
    control.choices = choices
    for wanted in (before, value):
        if wanted in there and (wanted is not None or None in there):
            control.value = wanted
            return


def enter(control: Any, value: Any, default: Any) -> None:
    """Set a control to a value, or, where it cannot have it, to its default."""
    for wanted in (value, default):
        try:
            control.value = wanted
        except (TypeError, ValueError):
            continue  # a choice that is gone, a text where a number belongs
        return


def mark(control: Any, problem: str | None) -> None:
    """Mark a control as wrong, or, with None, as right again."""
    restyle(control.native, MARK if problem else "")
    control.native.setProperty("smoothsal_problem", problem or "")


def rest(control: Any, why: str) -> None:
    """Disable a control that has no effect, which its tooltip says; without a reason, enable it."""
    about = control.native.property("smoothsal_about") or control.tooltip
    control.native.setProperty("smoothsal_about", about)
    control.enabled, control.tooltip = not why, why or about


def rest_choices(control: Any, why: Mapping[Any, str]) -> None:
    """The same of some of a ComboBox's choices: they cannot be taken, and say why."""
    box = control.native
    for index, value in enumerate(control.choices):
        box.model().item(index).setEnabled(value not in why)
        box.setItemData(index, why.get(value), Qt.ItemDataRole.ToolTipRole)


def restyle(widget: QWidget, style: str) -> None:
    """Give a widget another style sheet; Qt reads, and lays out, the same one anew."""
    if widget.styleSheet() != style:
        widget.setStyleSheet(style)


def named_in(text: str, controls: Mapping[str, Any]) -> list[Any]:
    """Controls that a message about several fields, or of the engine, gives with their values."""
    return [
        control
        for name, control in controls.items()
        if f"{name} = " in text or f"{name} named " in text
    ]


def problems_of(error: SettingError) -> dict[str, str]:
    """Messages by field name of a failed validation; empty where it was no validation."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return {}
    return {
        str(problem["loc"][0]): problem["msg"].removeprefix("Value error, ")
        for problem in cause.errors()
        if problem["loc"]
    }
