"""SettingsForm: the controls of a settings model whose values stand on their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.viewer.controls import (
    LABELS,
    WRONG,
    controls_for,
    enter,
    form_rows,
    mark,
    problems_of,
    value_of,
)

S = TypeVar("S", bound=Settings)


class SettingsForm(QWidget, Generic[S]):
    """Controls generated from the fields of a model; a value that cannot work is marked.

    Parameters
    ----------
    model
        The model.
    title
        What its fields are about; may be empty.
    labels
        What they are called, where it is not their name in words.

    Signals
    -------
    changed()
        The user changed a value.
    """

    changed = Signal()

    def __init__(
        self,
        model: type[S],
        title: str,
        parent: QWidget | None = None,
        labels: Mapping[str, str] = LABELS,
    ) -> None:
        super().__init__(parent)
        self._settings = model
        self.controls: dict[str, Any] = controls_for(model, labels=labels)
        self._start = {name: control.value for name, control in self.controls.items()}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        if title:
            layout.addWidget(QLabel(f"<b>{title}</b>"))
        form_rows(layout, self.controls)
        self._problem = QLabel()
        self._problem.setStyleSheet(WRONG)
        self._problem.setWordWrap(True)
        self._problem.hide()
        layout.addWidget(self._problem)
        for control in self.controls.values():
            control.changed.connect(self._on_change)

    @property
    def problem(self) -> str:
        """What is wrong with the values, in words; empty where nothing is."""
        return str(self._problem.text())

    def values(self) -> dict[str, Any]:
        """What differs from the defaults; for `restore`."""
        found = {name: control.value for name, control in self.controls.items()}
        return {name: value for name, value in found.items() if value != self._start[name]}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Enter values of an earlier time; the rest are the defaults."""
        for name, control in self.controls.items():
            enter(control, values.get(name, self._start[name]), self._start[name])

    def settings(self) -> S | None:
        """The settings; None where a value cannot work, which is then marked and explained."""
        found, problems = None, {}
        try:
            found = self._settings(**{n: value_of(c) for n, c in self.controls.items()})
            problems = self.refusals(found)
        except SettingError as error:
            problems = problems_of(error)
        for name, control in self.controls.items():
            mark(control, problems.get(name))
        lines = [f"{self.controls[name].label}: {text}" for name, text in problems.items()]
        self._problem.setText("\n".join(lines))
        self._problem.setVisible(bool(lines))
        return None if problems else found

    def refusals(self, settings: S) -> dict[str, str]:  # noqa: ARG002 - for those who know more
        """What of settings that are well formed cannot work, by field."""
        return {}

    def _on_change(self, _value: Any = None) -> None:
        self.settings()
        self.changed.emit()
