"""VariedForm: what a comparison varies, and which of its values stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFormLayout, QListWidget, QListWidgetItem, QWidget

from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.core.variants import FEWEST, check_columns
from napari_smoothsal.viewer.offered import Described, ModelDescribed

VARIED = {
    "denoising": "denoising",
    "layer": "layer",
    "method": "method",
    "class": "target",
    "model": "model",
}
"""What is offered, and the field that it is."""
ALONGSIDE = {"denoising": ("original", "centred_hook")}
"""What is compared to begin with."""
ROWS_SHOWN = 7


def values_of(
    field: str,
    spec: SaliencySpec,
    model: ModelDescribed,
    described: Described | None,
    models: Mapping[str, ModelDescribed],
) -> dict[str, str]:
    """Values that can be compared, with their names.

    Parameters
    ----------
    field
        What is varied: ``model``, or a field of the spec.
    spec, model
        What is chosen: the rest is that.
    described, models
        What there is to choose from, and models that were chosen before.
    """
    if field == "layer":
        return {layer.name: layer.name for layer in model.layers}
    if field == "target":
        names = dict.fromkeys((*model.classes, "auto"))
        return {name: name if name != "auto" else "the class predicted" for name in names}
    if field == "model":
        built_in = described.models if described is not None else ()
        return {source: Path(source).name for source in (*built_in, *models, model.model)}
    if described is None:
        return {}
    if field == "denoising":
        offered = [d.name for d in described.denoisings if model.surrogate or not d.surrogate]
        offered.sort(key=lambda name: name != "original")  # what the others are compared with
    else:
        # Those of the image alone have no hidden layer to share with the others.
        image = {m.name: m.input_only for m in described.methods}
        offered = [name for name in image if image[name] == image.get(spec.method)]
    return {name: name.replace("_", " ") for name in offered}


def usual(field: str, offered: Mapping[str, str], chosen: str | None) -> list[str]:
    """What is compared where nobody chose: what is set, and what stands next to it."""
    first = [name for name in ALONGSIDE.get(field, ()) if name in offered]
    wanted = dict.fromkeys((*first, *([chosen] if chosen in offered else []), *offered))
    kept = list(wanted)[: max(FEWEST, len(first))]
    return [name for name in offered if name in kept]


class VariedForm(QWidget):
    """A choice, and a list of boxes to check.

    Signals
    -------
    changed()
        Something else is to be compared.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.varied = QComboBox()
        self.varied.addItems(list(VARIED))
        self.varied.setToolTip("What differs between the columns; all else is as chosen.")
        self.values = QListWidget()
        self.values.setToolTip("Check two to four of them: the columns, in this order.")
        self._checked: dict[str, list[str]] = {}
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("compare", self.varied)
        form.addRow(self.values)
        height = self.values.sizeHintForRow(0) if self.values.count() else 20
        self.values.setMaximumHeight(ROWS_SHOWN * height + 6)
        self.varied.currentTextChanged.connect(self.changed)
        self.values.itemChanged.connect(self._on_item)

    @property
    def field(self) -> str:
        """What is varied."""
        return VARIED[self.varied.currentText()]

    @property
    def checked(self) -> dict[str, str]:
        """Values that are checked, with their names, in order."""
        items = [self.values.item(row) for row in range(self.values.count())]
        return {
            item.data(Qt.ItemDataRole.UserRole): item.text()
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Checked
        }

    def columns(self) -> dict[str, str]:
        """The same, two to four of them.

        Raises
        ------
        SettingError
            If so many are not checked.
        """
        found = self.checked
        check_columns(len(found))
        return found

    def check(self, *values: str) -> None:
        """Check these and no others."""
        for row in range(self.values.count()):
            item = self.values.item(row)
            assert item is not None, "it is one of the rows"
            on = item.data(Qt.ItemDataRole.UserRole) in values
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def offer(self, offered: Mapping[str, str], chosen: str | None) -> None:
        """Offer values; those that were checked before stay so, as far as they are still there.

        Parameters
        ----------
        offered
            With their names.
        chosen
            What is set now.
        """
        there = [self.values.item(row) for row in range(self.values.count())]
        before = {i.data(Qt.ItemDataRole.UserRole): i.text() for i in there if i is not None}
        if before == dict(offered):
            return
        kept = [name for name in self._checked.get(self.field, []) if name in offered]
        on = kept if len(kept) >= FEWEST else usual(self.field, offered, chosen)
        self.values.blockSignals(True)
        self.values.clear()
        for value, name in offered.items():
            item = QListWidgetItem(name)
            item.setData(Qt.ItemDataRole.UserRole, value)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if value in on else Qt.CheckState.Unchecked)
            self.values.addItem(item)
        self.values.blockSignals(False)

    def _on_item(self, _item: QListWidgetItem) -> None:
        self._checked[self.field] = list(self.checked)
        self.changed.emit()
