"""OptionsForm: the controls of what a denoising or a method can be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.viewer.controls import controls_for, enter, form_rows, mark, problems_of, rest
from napari_smoothsal.viewer.offered import Choice
from napari_smoothsal.viewer.option_settings import Schema, settings_of


@dataclass(frozen=True)
class _Page:
    """The controls of one name."""

    schema: Schema
    settings: type[Settings]
    controls: dict[str, Any]
    widget: QWidget


class OptionsForm(QWidget):
    """Controls generated from the options of whichever name is chosen; hidden without options.

    What was entered for a name is there again when it is chosen again.

    Parameters
    ----------
    indent_px
        Room to the left.

    Signals
    -------
    changed()
        The user changed a value.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None, *, indent_px: int = 0) -> None:
        super().__init__(parent)
        self._pages: dict[str, _Page] = {}
        self._shown: _Page | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(indent_px, 0, 0, 0)
        self.hide()

    @property
    def controls(self) -> dict[str, Any]:
        """The controls that are shown, by the name of their option."""
        return self._shown.controls if self._shown is not None else {}

    def describe(self, choices: Iterable[Choice]) -> None:
        """Make the controls of every name; those that are there already keep their values."""
        for choice in choices:
            known = self._pages.get(choice.name)
            if known is not None and known.schema == choice.options:
                continue
            if known is not None:
                self._layout.removeWidget(known.widget)
                known.widget.deleteLater()
            self._pages[choice.name] = self._page(choice.options)

    def choose(self, name: str | None) -> None:
        """Show the options of a name."""
        self._shown = self._pages.get(name) if name is not None else None
        for page in self._pages.values():
            page.widget.setVisible(page is self._shown)
        self.setVisible(bool(self.controls))

    def rest(self, why: str) -> None:
        """Disable the controls that are shown, for a reason; without one, enable them."""
        for control in self.controls.values():
            rest(control, why)

    def values(self) -> dict[str, Any]:
        """What differs from the defaults."""
        if self._shown is None:
            return {}
        fields = self._shown.settings.model_fields
        values = {name: control.value for name, control in self.controls.items()}
        return {name: value for name, value in values.items() if value != fields[name].default}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Enter values of the name that is chosen; its others get their defaults."""
        if self._shown is None:
            return
        for name, control in self.controls.items():
            default = self._shown.settings.model_fields[name].default
            enter(control, values.get(name, default), default)

    def problems(self) -> dict[str, str]:
        """Why values cannot work, by the label of their control, which is marked."""
        if self._shown is None:
            return {}
        found: dict[str, str] = {}
        try:
            self._shown.settings(**self.values())
        except SettingError as error:
            found = problems_of(error)
        for name, control in self.controls.items():
            mark(control, found.get(name))
        return {self.controls[name].label: text for name, text in found.items()}

    def _page(self, schema: Schema) -> _Page:
        settings = settings_of(schema)
        controls = controls_for(settings, labels={})
        widget = QWidget()
        layout = QVBoxLayout(widget)
        layout.setContentsMargins(0, 0, 0, 0)
        form_rows(layout, controls)
        widget.hide()
        self._layout.addWidget(widget)
        for control in controls.values():
            control.changed.connect(self._on_change)
        return _Page(schema, settings, controls, widget)

    def _on_change(self, _value: Any = None) -> None:
        self.changed.emit()
