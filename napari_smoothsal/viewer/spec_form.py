"""SpecForm: the controls of a SaliencySpec, and the choices that follow the model."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.viewer.controls import controls_for, mark, problems_of, set_choices
from napari_smoothsal.viewer.messages import Described, LayerChoice, ModelDescribed

NAMED = ("layer", "denoising", "method", "target")
"""Fields whose values are names that only the engine knows."""

BASIC = ("layer", "denoising", "method", "target", "samples", "sigma")
"""Shown at once, in this order; every other field lies under Advanced."""

MOST_DIFFERENCES = 4


class SpecForm(QWidget):
    """Controls generated from `SaliencySpec`.

    Signals
    -------
    changed()
        The user changed a value.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: dict[str, Any] = controls_for(SaliencySpec, NAMED)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._basic = _rows(layout, {name: self.controls[name] for name in BASIC})
        advanced = QCollapsible("Advanced")
        inner = QWidget()
        rest = {name: c for name, c in self.controls.items() if name not in BASIC}
        _rows(QVBoxLayout(inner), rest)
        advanced.addWidget(inner)
        layout.addWidget(advanced)
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._problem.setStyleSheet("color: #ff922b;")
        self._problem.hide()
        layout.addWidget(self._problem)
        for control in self.controls.values():
            control.changed.connect(self._on_change)

    @property
    def problem(self) -> str:
        """What is wrong with the values, in words; empty where nothing is."""
        return str(self._problem.text())

    def describe(self, described: Described) -> None:
        """Fill in the denoisings and methods."""
        for name, choices in (
            ("denoising", described.denoisings),
            ("method", described.methods),
        ):
            default = SaliencySpec.model_fields[name].default
            offered = [(choice.name.replace("_", " "), choice.name) for choice in choices]
            set_choices(self.controls[name], offered, default)
            titles = "\n".join(f"{c.name.replace('_', ' ')}: {c.title}" for c in choices)
            about = SaliencySpec.model_fields[name].description or ""
            self.controls[name].tooltip = f"{about}\n\n{titles}".replace("`", "'")

    def describe_model(self, model: ModelDescribed) -> None:
        """Fill in the model's layers and targets."""
        layers = [(_layer_in_words(layer), layer.name) for layer in model.layers]
        set_choices(self.controls["layer"], layers, model.default_layer)
        targets: list[tuple[str, Any]] = [(name, name) for name in model.classes]
        targets.append(("the class predicted in each tile", "auto"))
        if len(model.classes) <= MOST_DIFFERENCES:
            targets += [
                (f"{a} minus {b}", f"{a}-{b}")
                for a in model.classes
                for b in model.classes
                if a != b
            ]
        start = model.default_target
        set_choices(self.controls["target"], targets, start)
        self.changed.emit()

    def forget_model(self) -> None:
        """Take the choices back that belong to a model."""
        for name in ("layer", "target"):
            self.controls[name].choices = ()

    def spec(self) -> SaliencySpec | None:
        """The spec; None where a value cannot work, which is then marked and explained."""
        values = {name: control.value for name, control in self.controls.items()}
        if values["target"] == "":
            values["target"] = None
        problems: dict[str, str] = {}
        spec = None
        if not values["layer"]:
            problems["layer"] = "choose a model first: its layers are offered here"
        else:
            try:
                spec = SaliencySpec(**values)
            except SettingError as error:
                problems = problems_of(error) or {"": str(error)}
        for name, control in self.controls.items():
            mark(control, problems.get(name))
        lines = [
            f"{self.controls[name].label if name in self.controls else name}: {text}"
            for name, text in problems.items()
        ]
        self._problem.setText("\n".join(lines))
        self._problem.setVisible(bool(lines))
        return spec

    def _on_change(self, _value: Any = None) -> None:
        if self.controls["layer"].value:
            self.spec()
        self.changed.emit()


def _rows(layout: QVBoxLayout, controls: dict[str, Any]) -> QFormLayout:
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for control in controls.values():
        label = QLabel(control.label)
        label.setToolTip(control.tooltip)
        form.addRow(label, control.native)
    layout.addLayout(form)
    return form


def _layer_in_words(layer: LayerChoice) -> str:
    if layer.um_per_px is None:
        words = f"{layer.name} - 1/{layer.stride:g} of the model's pixels"
    else:
        words = f"{layer.name} - {layer.um_per_px:.1f} um per pixel"
    if layer.spread_px and layer.um_per_px is not None:
        words += f", placed to {layer.spread_px * layer.um_per_px / layer.stride:.1f} um"
    return words
