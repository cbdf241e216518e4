"""ModelRows: which model, and at which resolution it sees a slide where its card does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, FloatSpinBox
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_smoothsal.viewer.controls import mark, set_choices
from napari_smoothsal.viewer.model_words import about, folders_in_words
from napari_smoothsal.viewer.offered import ModelDescribed
from napari_smoothsal.viewer.requests import NotExplainableError, explained_model

MPP = "model um per px"
MOST_UM, DECIMALS = 100.0, 4
"""Of a pixel; scanners' own resolutions, such as 0.2425, have to fit in."""


class ModelRows(QObject):
    """The rows of a form in which a model is chosen.

    Signals
    -------
    chosen(str)
        The user chose a model: a built-in name or a folder.
    resolved()
        The user entered the resolution of a model that does not say it.
    changed()
        What is said of the choice, and whether it can be used, may have changed.
    """

    chosen = Signal(str)
    resolved = Signal()
    changed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self._folders: list[str] = []
        self._built_in: tuple[str, ...] = ()
        self._formats: tuple[str, ...] = ()
        self._filling = False
        self._failure = ""
        self._told: ModelDescribed | None = None
        self._resolutions: dict[str, float] = {}
        self.box = ComboBox(name="model")
        self._choose = QPushButton("Folder ...")
        self._choose.clicked.connect(self._ask_for_folder)
        self.mpp = FloatSpinBox(
            name=MPP,
            value=0.0,
            min=0.0,
            max=MOST_UM,
            step=0.01,
            tooltip="Micrometres per pixel of the tiles that the model was trained on: 0.5 for "
            "20x, 0.25 for 40x. Asked because the model's files do not say it.",
        )
        self.mpp.native.setDecimals(DECIMALS)
        self._mpp_label = QLabel(MPP)
        self._mpp_label.setToolTip(self.mpp.tooltip)
        self.box.changed.connect(self._on_box)
        self.mpp.changed.connect(self._on_mpp)
        self._show()

    def add_to(self, form: QFormLayout) -> None:
        """Put the rows at the end of a form."""
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box.native, 1)
        layout.addWidget(self._choose)
        form.addRow("model", row)
        form.addRow(self._mpp_label, self.mpp.native)

    @property
    def value(self) -> str | None:
        """The chosen model."""
        value = self.box.value
        return None if value is None else str(value)

    @property
    def asked_mpp(self) -> float:
        """Micrometres per pixel that the user gave for the chosen model; 0 where none."""
        return float(self.mpp.value)

    @property
    def resolutions(self) -> dict[str, float]:
        """What was given, by model; for `restore`."""
        return dict(self._resolutions)

    @property
    def problem(self) -> str:
        """Why the chosen model cannot be used as it is; empty where it can."""
        return self._failure or self._unresolved

    def restore(self, resolutions: Any) -> None:
        """Take over what was given at an earlier time, as far as it makes sense."""
        if isinstance(resolutions, dict):
            self._resolutions = {
                model: float(mpp)
                for model, mpp in resolutions.items()
                if isinstance(mpp, int | float) and 0 < mpp <= MOST_UM
            }

    def offer(self, built_in: tuple[str, ...], formats: tuple[str, ...]) -> None:
        """Offer the built-in models beside the folders chosen so far.

        Parameters
        ----------
        built_in
            Names.
        formats
            What a folder may hold, in words.
        """
        self._built_in, self._formats = built_in, formats
        self._list(self.value)
        self._show()

    def choose(self, model: str) -> None:
        """Choose one of the models that are offered."""
        self.box.value = model

    def add(self, folder: str) -> None:
        """Offer a model folder and choose it."""
        if folder not in self._folders:
            self._folders.append(folder)
        self._list(folder)
        if self.value == folder:
            self._on_box(folder)  # again: what it holds may have changed
        else:
            self.box.value = folder

    def describe(self, model: ModelDescribed) -> ModelDescribed:
        """Say what the chosen model is, and ask for what its card does not say.

        Returns
        -------
        model
            At the resolution that was given for it earlier, where it needs one.
        """
        self._told = model
        with self.mpp.changed.blocked():
            self.mpp.value = self._resolutions.get(model.model, 0.0)
        self._show()
        return model.at(self.asked_mpp)

    def fail(self, problem: str) -> None:
        """The chosen model cannot be used, until another one is chosen."""
        self._told, self._failure = None, problem
        self._show()

    @property
    def _unresolved(self) -> str:
        try:
            if self._told is not None:
                explained_model(self._told, self.asked_mpp)
        except NotExplainableError as error:
            return str(error)
        return ""

    def _show(self) -> None:
        """Bring tooltips, marks, and whether the resolution is asked for, up to date."""
        told, folders = self._told, folders_in_words(self._formats)
        self._choose.setToolTip(folders)
        self.box.tooltip = (
            folders if told is None else f"{about(told.at(self.asked_mpp))}<hr>{folders}"
        )
        ask = told is not None and told.input_mpp is None
        self.mpp.native.setVisible(ask)
        self._mpp_label.setVisible(ask)
        mark(self.box, self._failure)
        mark(self.mpp, self._unresolved)
        self.changed.emit()

    def _list(self, value: str | None) -> None:
        choices = [(name, name) for name in self._built_in]
        choices += [(Path(folder).name, folder) for folder in self._folders]
        self._filling = True
        try:
            set_choices(self.box, choices, value)
        finally:
            self._filling = False

    def _on_box(self, value: Any) -> None:
        if value is not None and not self._filling:
            self._told, self._failure = None, ""
            self._show()
            self.chosen.emit(str(value))

    def _on_mpp(self, value: float) -> None:
        if self._told is None:
            return
        if value > 0:
            self._resolutions[self._told.model] = float(value)
        else:
            self._resolutions.pop(self._told.model, None)
        self._show()
        self.resolved.emit()

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._parent, "A model folder")
        if folder:
            self.add(folder)
