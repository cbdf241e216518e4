"""SpecForm: the controls of spec, tiling and computing, and the choices that follow the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QSize, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.viewer.controls import (
    WRONG,
    controls_for,
    enter,
    form_rows,
    mark,
    named_in,
    problems_of,
    rest,
    rest_choices,
    set_choices,
    value_of,
)
from napari_smoothsal.viewer.denoising_advice import nothing_to_denoise, surrogate_missing
from napari_smoothsal.viewer.method_advice import (
    IMAGE,
    denoisings_without_effect,
    image_instead,
    in_their_place,
    notes_on,
    reductions_without_effect,
    without_effect,
)
from napari_smoothsal.viewer.note import Note
from napari_smoothsal.viewer.offered import (
    DenoisingChoice,
    Described,
    MethodChoice,
    ModelDescribed,
)
from napari_smoothsal.viewer.options_form import OptionsForm
from napari_smoothsal.viewer.settings_form import SettingsForm
from napari_smoothsal.viewer.which_tiles import WhichTilesForm

NAMED = ("layer", "denoising", "method", "target")
"""Fields whose values are names that only the engine knows."""

BASIC = ("layer", "denoising", "jitter", "method", "target", "samples", "sigma")
"""Shown at once, in this order; every other field lies under Advanced."""

MOST_DIFFERENCES = 4

INDENT_PX = 12
COLLAPSIBLE_PX = 24
"""Of frames around what lies under Advanced."""

ONLY_WITH = {"channel": ("reduction", "channel")}
"""Fields that are unset unless another one has a certain value."""

OF_ONE_SLIDE = ("tissue",)
"""Settings of tiles that are not remembered: a path may name a patient."""

FOLLOWED = ("layer", "denoising", "method", "reduction")
"""Fields with which it changes what has an effect."""

OPTIONS = {"denoising_options": "denoising", "method_options": "method"}
"""Fields that hold the options of what is chosen in another one."""


class SpecForm(QWidget):
    """Controls generated from `SaliencySpec`, and under Advanced from `Tiling` and `Compute`.

    Signals
    -------
    changed()
        The user changed a value.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: dict[str, Any] = controls_for(SaliencySpec, NAMED)
        self.options = {
            "denoising_options": OptionsForm(indent_px=INDENT_PX),
            "method_options": OptionsForm(),
        }
        self.tiling = SettingsForm(Tiling, "Tiles")
        self.compute = SettingsForm(Compute, "Computing")
        self._start = {n: c.value for n, c in self.controls.items() if n not in NAMED}
        self._denoisings: dict[str, DenoisingChoice] = {}
        self._methods: dict[str, MethodChoice] = {}
        self._own_layer: str | None = None
        """What was chosen before a method chose the image."""
        self._model: ModelDescribed | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        basic = form_rows(layout, {name: self.controls[name] for name in BASIC})
        basic.insertRow(BASIC.index("denoising") + 1, self.options["denoising_options"])
        self._of_layer = Note()
        basic.insertRow(BASIC.index("layer") + 1, self._of_layer)
        self.which = WhichTilesForm()
        layout.addWidget(self.which)
        advanced = QCollapsible("Advanced")
        self._inner = inner = QWidget()
        others = {name: c for name, c in self.controls.items() if name not in BASIC}
        inside = QVBoxLayout(inner)
        inside.addWidget(self.options["method_options"])
        form_rows(inside, others)
        inside.addWidget(self.tiling)
        inside.addWidget(self.compute)
        advanced.addWidget(inner)
        layout.addWidget(advanced)
        self._problem, self._note = Note(), Note()
        self._problem.setStyleSheet(WRONG)
        layout.addWidget(self._problem)
        layout.addWidget(self._note)
        for name in OPTIONS.values():
            self.controls[name].changed.connect(self._choose_options)
        for control in (*(self.controls[n] for n in FOLLOWED), self.options["method_options"]):
            control.changed.connect(self._follow_method)
        self._follow_method()
        for control in self.controls.values():
            control.changed.connect(self._on_change)
        for options in self.options.values():
            options.changed.connect(self._on_change)
        for settings in (self.tiling, self.compute, self.which):
            settings.changed.connect(self._on_change)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as what lies under Advanced, so that opening it moves nothing."""
        return (
            super()
            .minimumSizeHint()
            .expandedTo(QSize(self._inner.minimumSizeHint().width() + COLLAPSIBLE_PX, 0))
        )

    @property
    def problem(self) -> str:
        """What is wrong with the values, in words; empty where nothing is."""
        return str(self._problem.text())

    @property
    def note(self) -> str:
        """What to know about values that work; empty where there is nothing."""
        return str(self._note.text())

    @property
    def layer_note(self) -> str:
        """That a method chose the layer; empty where the user did."""
        return str(self._of_layer.text())

    def describe(self, described: Described) -> None:
        """Fill in the denoisings and methods, and the controls of their options."""
        self._denoisings = {choice.name: choice for choice in described.denoisings}
        self._methods = {choice.name: choice for choice in described.methods}
        self.options["denoising_options"].describe(described.denoisings)
        self.options["method_options"].describe(described.methods)
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
        self._choose_options()
        self._follow_method()

    def describe_model(self, model: ModelDescribed) -> None:
        """Fill in the model's layers and targets."""
        self._model = model
        layers = [(layer.in_words, layer.name) for layer in model.layers]
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
        self.which.describe_model(model)
        start = model.default_target
        set_choices(self.controls["target"], targets, start)
        self.spec()
        self.changed.emit()

    def forget_model(self) -> None:
        """Take the choices back that belong to a model."""
        self._model = self._own_layer = None
        self.which.describe_model(None)
        for name in ("layer", "target"):
            self.controls[name].choices = ()

    def values(self) -> dict[str, Any]:
        """What differs from the defaults, and what is chosen by name; for `restore`."""
        found = {name: control.value for name, control in self.controls.items()}
        changed = {
            name: value
            for name, value in found.items()
            if name in NAMED or value != self._start[name]
        }
        changed["layer"] = self._own_layer or found["layer"]
        changed |= {name: options.values() for name, options in self.options.items()}
        tiling = {n: v for n, v in self.tiling.values().items() if n not in OF_ONE_SLIDE}
        return changed | {"tiling": tiling, "compute": self.compute.values()}

    def forget_slide(self) -> None:
        """Another slide is chosen: take back what was meant for the one before."""
        if self.tiling.controls["tissue"].value not in ("auto", "all"):
            self.tiling.controls["tissue"].value = "auto"

    def restore(self, values: Mapping[str, Any]) -> None:
        """Enter values of an earlier time, as far as they still fit; the rest are the defaults."""
        model, self._own_layer = self._model, None
        names: dict[str, Any] = {
            "layer": model.default_layer if model else None,
            "target": model.default_target if model else None,
        }
        for name, control in self.controls.items():
            default = self._start.get(name, names.get(name, _default(name)))
            enter(control, values.get(name, default), default)
        for name, options in self.options.items():
            self._choose_options()
            options.restore(values.get(name, {}))
        self.tiling.restore(values.get("tiling", {}))
        self.which.restore({})  # not remembered: of one slide, and of one model's classes
        self.compute.restore(values.get("compute", {}))

    def spec(self) -> SaliencySpec | None:
        """The spec; None where a value cannot work, which is then marked and explained."""
        values = {name: value_of(control) for name, control in self.controls.items()}
        values |= {name: options.values() for name, options in self.options.items()}
        values |= {name: None for name in ONLY_WITH if not self._applies(name)}
        chosen, method = values, self._method
        if method is not None:
            values = values | in_their_place(method, values)
        problems: dict[str, str] = {}
        spec = None
        if not values["layer"]:
            problems["layer"] = "choose a model first: its layers are offered here"
        else:
            try:
                spec = SaliencySpec(**values)
            except SettingError as error:
                # What joins several fields names them itself.
                problems = problems_of(error) or {"": str(error).partition(": ")[2]}
        for name, control in self.controls.items():
            mark(control, problems.get(name))
        for control in named_in(problems.get("", ""), self.controls):
            mark(control, problems[""])
        told = {self._label_of(name): text for name, text in problems.items()}
        for name, options in self.options.items():
            if values[OPTIONS[name]] == chosen[OPTIONS[name]]:  # else another one takes its place
                told |= options.problems()
        lines = [f"{label}: {text}" if label else text for label, text in told.items()]
        missing, note = self._advice(values) if values["layer"] else ("", "")
        lines += [missing] if missing else []
        if method is not None:
            note = "\n".join([*notes_on(method, chosen), *([note] if note else [])])
        self._problem.tell("\n".join(lines))
        self._note.tell(note)
        return None if lines else spec

    def blame(self, refusal: str) -> None:
        """Mark the fields that a refusal of the engine names, until a value is changed."""
        for controls in (*(o.controls for o in self.options.values()), self.controls):
            named = named_in(refusal, controls)
            for control in named:
                mark(control, refusal)
            if named:
                return  # an option may be called as a field of the spec is

    def _label_of(self, name: str) -> str:
        return str(self.controls[name].label) if name in self.controls else name

    def _advice(self, values: dict[str, Any]) -> tuple[str, str]:
        """What the chosen denoising lacks in this model, and whether it has anything to do."""
        options = values["denoising_options"]
        names = (values["denoising"], options.get("match"))
        used = [self._denoisings[name] for name in names if name in self._denoisings]
        if self._model is None:
            return "", ""
        missing = surrogate_missing(self._model, used)
        layer = next((x for x in self._model.layers if x.name == values["layer"]), None)
        if missing or layer is None:
            return missing, ""
        return "", nothing_to_denoise(self._model, layer, used, options)

    @property
    def _method(self) -> MethodChoice | None:
        return self._methods.get(self.controls["method"].value)

    def _applies(self, name: str) -> bool:
        other, value = ONLY_WITH[name]
        return bool(self.controls[other].value == value)

    def _follow_method(self, _value: Any = None) -> None:
        """Rest what has no effect, and choose the layer where there is one only."""
        method, controls = self._method, self.controls
        reductions: dict[str, str] = {}
        if method is not None:
            self._choose_layer(method)
            why = without_effect(method)
            for name, control in controls.items():
                rest(control, why.get(name, ""))
            reductions = reductions_without_effect(method, self.options["method_options"].values())
            rest_choices(controls["reduction"], reductions)
            denoisings = denoisings_without_effect(method)
            rest_choices(controls["denoising"], denoisings)
            self.options["denoising_options"].rest(denoisings.get(controls["denoising"].value, ""))
        for name, (_, value) in ONLY_WITH.items():
            controls[name].enabled = self._applies(name) and value not in reductions

    def _choose_layer(self, method: MethodChoice) -> None:
        layer = self.controls["layer"]
        if method.input_only and layer.value not in (None, IMAGE):
            self._own_layer, layer.value = layer.value, IMAGE
        elif not method.input_only and self._own_layer is not None:
            self._own_layer, layer.value = None, self._own_layer
        own = self._own_layer
        self._of_layer.tell("" if own is None else image_instead(method, own))

    def _choose_options(self, _value: Any = None) -> None:
        for name, choice in OPTIONS.items():
            self.options[name].choose(self.controls[choice].value)

    def _on_change(self, _value: Any = None) -> None:
        if self.controls["layer"].value:
            self.spec()
        self.changed.emit()


def _default(name: str) -> Any:
    return SaliencySpec.model_fields[name].default
