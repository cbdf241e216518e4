"""SlideForm: which slide, at which resolution, with which model, saved where."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, FloatSpinBox
from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_smoothsal.viewer.controls import MARK, mark, restyle, set_choices
from napari_smoothsal.viewer.model_rows import ModelRows
from napari_smoothsal.viewer.placement import resolution_of
from napari_smoothsal.viewer.requests import NotExplainableError, explained_slide, result_folder
from napari_smoothsal.viewer.run_bar import PROBLEM
from napari_smoothsal.viewer.slide_source import METADATA, source_of

CORRECTED = (
    "Colours are corrected for the screen (ICC), not for the model. napari's preferences, under "
    "this plugin, switch it off."
)


class SlideForm(QWidget):
    """Choice of the slide's layer and of the model.

    Signals
    -------
    slide_chosen()
        Another layer is to be explained.
    """

    slide_chosen = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._listed: list[tuple[str, str]] | None = None
        self._slide = ComboBox(name="slide", tooltip="Any RGB image layer.")
        self._mpp = FloatSpinBox(
            name="um per pixel",
            value=0.0,
            min=0.0,
            max=100.0,
            step=0.01,
            tooltip="Micrometres per pixel of the finest level: 0.25 for a 40x scan, 0.5 for 20x. "
            "Asked because the image does not say it.",
        )
        self.models = ModelRows(self)
        self._folder = QLineEdit()
        self._folder.setPlaceholderText("beside the slide")
        self._folder.setToolTip("Where Explain slide puts its result.")
        choose_folder = QPushButton("...")
        choose_folder.clicked.connect(self._choose_folder)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("slide", self._slide.native)
        self._note = QLabel()
        self._note.setWordWrap(True)
        form.addRow(self._note)
        self._mpp_label = QLabel("um per pixel")
        form.addRow(self._mpp_label, self._mpp.native)
        self.models.add_to(form)
        form.addRow("save to", _beside(self._folder, choose_folder))
        self._problem = QLabel()
        self._problem.setStyleSheet(PROBLEM)
        self._problem.setWordWrap(True)
        self._problem.setTextFormat(Qt.TextFormat.PlainText)  # files of others are quoted in it
        self._problem.hide()
        form.addRow(self._problem)
        self.models.changed.connect(self.check)
        self._slide.changed.connect(self._on_slide)
        self._mpp.changed.connect(self.check)
        self._folder.textChanged.connect(self.check)
        # The folder may have been made, or deleted, since it was entered.
        self._folder.editingFinished.connect(self.check)
        self._folder.installEventFilter(self)
        events = viewer.layers.events
        self._events = (events.inserted, events.removed, events.reordered)
        for event in self._events:
            event.connect(self._list_slides)
        self._list_slides()

    @property
    def layer(self) -> Any | None:
        """The chosen layer."""
        chosen = self._slide.value
        for layer in self._viewer.layers:
            if str(layer.unique_id) == chosen:
                return layer
        return None

    @property
    def asked_mpp(self) -> float:
        """Micrometres per pixel that the user gave; 0 where none."""
        return float(self._mpp.value)

    @property
    def note(self) -> str:
        """What to know about the slide; empty where there is nothing."""
        return str(self._note.text())

    @property
    def model(self) -> str | None:
        """The chosen model."""
        return self.models.value

    @model.setter
    def model(self, name: str) -> None:
        """Choose one of the models that are offered."""
        self.models.choose(name)

    @property
    def folder(self) -> str:
        """Where slide results go; empty: beside the slide."""
        return str(self._folder.text()).strip()

    @property
    def problem(self) -> str:
        """What is wrong with the values, in words; empty where nothing is."""
        return str(self._problem.text())

    def add_model(self, folder: str) -> None:
        """Offer a model folder and choose it."""
        self.models.add(folder)

    def disconnect_viewer(self) -> None:
        """Hear no more of the viewer's layers."""
        for event in self._events:
            event.disconnect(self._list_slides)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Look at the folder again when its field is clicked."""
        if event is not None and event.type() == QEvent.Type.FocusIn:
            self.check()
        return bool(super().eventFilter(watched, event))

    def _list_slides(self, _event: Any = None) -> None:
        # Newest first: what was opened last is what one wants to explain.
        slides = [layer for layer in reversed(self._viewer.layers) if _is_slide(layer)]
        choices = [(layer.name, str(layer.unique_id)) for layer in slides]
        if choices != self._listed:
            self._listed = choices
            set_choices(self._slide, choices)
            self._on_slide()

    def _on_slide(self, _value: Any = None) -> None:
        layer = self.layer
        source = None if layer is None else source_of(layer)
        self._note.setText(CORRECTED if source is not None and source.corrected else "")
        self._note.setVisible(bool(self._note.text()))
        ask = layer is not None and resolution_of(layer) is None
        self._mpp.native.setVisible(ask)
        self._mpp_label.setVisible(ask)
        self.check()
        self.slide_chosen.emit()

    def check(self, _value: Any = None) -> None:
        """Mark what cannot work now, and say why."""
        resolution = folder = ""
        try:
            if self.layer is not None:
                explained_slide(self.layer, self.asked_mpp)
        except NotExplainableError as error:
            resolution = str(error)
        try:
            if self.folder:
                result_folder(self.folder)
        except NotExplainableError as error:
            folder = str(error)
        mark(self._mpp, resolution)
        restyle(self._folder, MARK if folder else "")
        told = [text for text in (resolution, self.models.problem, folder) if text]
        self._problem.setText("\n".join(told))
        self._problem.setVisible(bool(told))

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Where results go")
        if folder:
            self._folder.setText(folder)


def _is_slide(layer: Any) -> bool:
    if not getattr(layer, "rgb", False) or layer.ndim != 2:
        return False
    return source_of(layer) is not None or METADATA not in layer.metadata


def _beside(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget, stretch in zip(widgets, (1, *[0] * (len(widgets) - 1)), strict=True):
        layout.addWidget(widget, stretch)
    return row
