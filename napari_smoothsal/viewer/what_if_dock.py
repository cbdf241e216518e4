"""The What if dock: take something out of a view, or all but that, and see what the model says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.asked import DescribeFills, TryChange
from napari_smoothsal.viewer.asking import Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.class_bars import ClassBars
from napari_smoothsal.viewer.drawn_region import DrawnRegion, drawn_region
from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.measuring_dock import Made, MeasuringDock, row_of
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.told import Answer, Failed, Progressed, Ready
from napari_smoothsal.viewer.told_of_trials import FillsDescribed, Tried
from napari_smoothsal.viewer.trials import Trial, TrialTable, TriedView
from napari_smoothsal.viewer.what_if_layers import (
    remove,
    replaced_layer,
    show_only,
    trial_map_layer,
)

if TYPE_CHECKING:
    import napari

Change = Literal["remove", "reveal"]
DONE: dict[Change, str] = {"remove": "removed", "reveal": "revealed"}

ABOUT = "Draw around something in view, and see what the model says without it, or of it alone."
CAUTION = (
    "The model was never trained on filled tissue, so that a change may be due to the fill: "
    "believe what several fills agree on. What is found is of this model and this view."
)
DRAWING, AS_IT_IS = "what if", "what if: as it is"
LINE_PX = 3  # of the screen


@dataclass(frozen=True)
class _Asked:
    """What is being tried."""

    fill: str
    chosen: Chosen
    region: Region

    @property
    def view(self) -> TriedView:
        """Of which view, with which settings."""
        chosen = self.chosen
        return TriedView(_id_of(chosen.slide), self.region, str(chosen.settings))


class WhatIfDock(MeasuringDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, ABOUT, "", parent)
        self._asked: _Asked | None = None
        self._trial: Trial | None = None
        self._numbers = 0
        self._before: dict[TriedView, Any] = {}
        self.draw = QPushButton("Draw")
        self.draw.setToolTip("A layer to draw in, with the freehand polygon.")
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("What if that were not there? What is drawn is replaced.")
        self.reveal = QPushButton("Reveal only")
        self.reveal.setToolTip("What if that were all? Everything else in view is replaced.")
        self.fill = QComboBox()
        self.maps = QCheckBox()
        self.maps.setChecked(True)
        self.maps.setToolTip("Compute the map of the changed view, too; it comes a little later.")
        self.progress = QProgressBar()
        self.progress.hide()
        self.bars = ClassBars(("as it is", "changed"))
        self.as_it_is = QPushButton("Show it as it is")
        self.as_it_is.setCheckable(True)
        self.as_it_is.setToolTip("Down: the view as it is, with its map. Up: the chosen trial.")
        self.trials = TrialTable()
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Take the last trial and its layers away.")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Take all trials and their layers away.")
        self.save_table = QPushButton("Save CSV ...")
        caution = QLabel(CAUTION)
        caution.setWordWrap(True)
        self.status_line.setTextFormat(Qt.TextFormat.PlainText)
        form = QFormLayout()
        form.addRow("fill", self.fill)
        form.addRow("map of it", self.maps)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(row_of(self.draw, self.remove, self.reveal, self.cancel))
        layout.addLayout(form)
        for part in (self.status_line, self.progress, self.bars, self.as_it_is, self.trials):
            layout.addWidget(part)
        layout.addLayout(row_of(self.undo, self.clear, self.save_table))
        layout.addWidget(caution)
        self.put_into_a_scroll_area(content)
        self.draw.clicked.connect(self.start_drawing)
        self.remove.clicked.connect(partial(self.try_change, "remove"))
        self.reveal.clicked.connect(partial(self.try_change, "reveal"))
        self.fill.currentIndexChanged.connect(self._explain_fill)
        self.trials.chosen.connect(self._show)
        self.as_it_is.toggled.connect(self._show_again)
        self.undo.clicked.connect(self.undo_last)
        self.clear.clicked.connect(self.clear_all)
        self.save_table.clicked.connect(self._ask_where)
        self.hear(self.session.engine.answered, self._on_fills)
        if self.session.engine.ready:
            self._ask_fills()
        else:
            self.session.engine.start()
        self._enable()

    def ask_view(self) -> None:
        """Try once more without what is drawn."""
        self.try_change("remove")

    def start_drawing(self) -> None:
        """A Shapes layer on top, in which one draws with the mouse held down."""
        layers = self.viewer.layers
        layer = next((x for x in layers if x.name == DRAWING and hasattr(x, "shape_type")), None)
        if layer is None:
            layer = self.viewer.add_shapes(
                ndim=2,
                name=DRAWING,
                edge_color="#00e5ff",
                face_color="transparent",
                edge_width=LINE_PX / self.viewer.scene.camera.zoom,
                **self._units(),
            )
        layers.move(layers.index(layer), len(layers))
        layers.selection.active = layer
        layer.mode = "add_polygon_lasso"
        self.say("Draw around it with the mouse held down, then Remove or Reveal only.")

    def try_change(self, change: Change, _checked: bool = False) -> None:
        """Replace what is drawn, or all else, and ask the model."""
        try:
            chosen = self.session.choice.now()
            drawn = drawn_region(self.viewer, chosen.slide)
            region = self._view_of(chosen.slide, drawn)
        except SmoothsalError as error:
            self.say(str(error), problem=True)
            return
        asked = _Asked(self.fill.currentText(), chosen, region)
        wanted = "after" if asked.view in self._before else "both"
        polygons = tuple(tuple((float(x), float(y)) for x, y in p) for p in drawn.polygons)
        question = partial(
            TryChange,
            polygons=polygons,
            change=change,
            fill=self.fill.currentData(),
            maps=wanted if self.maps.isChecked() else "none",
        )

        def make(_chosen: Chosen) -> Made:
            return DONE[change], lambda explain: question(id=explain.id, explain=explain)

        self._trial, self._asked = None, asked
        self.ask(make, "Asking the model ...", region=region)

    def show_answer(self, job: Job, answer: Answer) -> None:
        """List what is predicted; later on add the maps."""
        if isinstance(answer, Progressed):
            self.progress.setRange(0, max(1, answer.total))
            self.progress.setValue(answer.done)
            self.progress.setFormat("maps: %p %")
            self.progress.show()
            return
        assert isinstance(answer, Tried) and self._asked is not None, "nothing else was asked"
        if self._trial is None:
            self._list(job.what, self._asked, answer)
        trial = self._trial
        if trial is None or trial not in self.trials.trials:
            return  # it was undone meanwhile
        if answer.complete:
            self.progress.hide()
            self._add_maps(trial, answer)
        self._tell(trial, answer)

    def undo_last(self) -> None:
        """Take the last trial away."""
        if not self.trials.trials:
            return
        trial = self.trials.take_last()
        remove(self.viewer, trial.layers)
        if trial is self._trial and self.busy:
            self._asking.cancel()
        kept = {one.view for one in self.trials.trials}
        for view in [view for view in self._before if view not in kept]:
            remove(self.viewer, [self._before.pop(view)])
        if not self.trials.trials:
            self.bars.show_classes({})
            self.say(ABOUT)
        self._enable()

    def clear_all(self) -> None:
        """Take all trials away."""
        while self.trials.trials:
            self.undo_last()

    def write_table(self, path: Path) -> None:
        """Write the list of trials as CSV."""
        self.trials.write(path)

    def _list(self, what: str, asked: _Asked, answer: Tried) -> None:
        self._numbers += 1
        chosen = asked.chosen
        trial = Trial(
            self._numbers,
            what,
            asked.fill,
            chosen.slide,
            asked.view,
            str(chosen.spec.target or chosen.model.default_target),
            answer,
            before=self._before.get(asked.view),
        )
        trial.layers.append(replaced_layer(self.viewer, chosen.slide, answer, trial.name))
        self._trial = trial
        self._set_down(False)
        self.trials.add(trial)
        self._enable()

    def _add_maps(self, trial: Trial, answer: Tried) -> None:
        if answer.before_map is not None:
            layer = trial_map_layer(self.viewer, trial.slide, answer.before_map, AS_IT_IS)
            trial.before = self._before[trial.view] = layer
        if answer.after_map is not None:
            layer = trial_map_layer(self.viewer, trial.slide, answer.after_map, trial.name)
            trial.layers.append(layer)
        self._show_again()

    def _tell(self, trial: Trial, answer: Tried) -> None:
        if not answer.before:
            self.say("No tile of this view could be read.", problem=True)
            return
        tiles = "1 tile" if answer.tiles == 1 else f"{answer.tiles} tiles"
        said = f"{trial.what.capitalize()}, {trial.fill}: {answer.touched} of {tiles} changed, "
        said += f"{answer.otherwise} predicted as another class; {answer.seconds:.2f} s."
        name = trial.followed
        if name in answer.touched_after:
            before, after = answer.touched_before[name], answer.touched_after[name]
            said += f" In those that changed {name}: {before:.3f} to {after:.3f}."
        waiting = not answer.complete and self.busy
        self.say(said + (" The map follows ..." if waiting else ""))

    def _show(self, trial: Trial) -> None:
        """A trial was chosen, or is new."""
        self.bars.show_classes(trial.said.before, trial.said.after)
        before = [] if trial.before is None else [trial.before]
        show_only(self.viewer, before if self.as_it_is.isChecked() else trial.layers, trial.slide)
        self._enable()

    def _show_again(self, _down: bool = False) -> None:
        if (trial := self.trials.current) is not None:
            self._show(trial)

    def _view_of(self, slide: ExplainedSlide, drawn: DrawnRegion) -> Region:
        """The view of the last trial where it holds what is drawn, so that trials can be compared
        though one has zoomed in to draw; else what is in the window."""
        for trial in reversed(self.trials.trials[-1:]):
            if trial.view.holds(_id_of(slide), drawn.region):
                return trial.view.region
        return slide.view(self.viewer)

    def _units(self) -> dict[str, Any]:
        """Those of the slide."""
        try:
            slide = self.session.choice.now().slide.layer
        except SmoothsalError:
            return {}
        return {"units": tuple(slide.units[-2:])}

    def _explain_fill(self, _index: int = 0) -> None:
        self.fill.setToolTip(str(self.fill.currentData(Qt.ItemDataRole.ToolTipRole) or ""))

    def _set_down(self, down: bool) -> None:
        blocked = self.as_it_is.blockSignals(True)
        self.as_it_is.setChecked(down)
        self.as_it_is.blockSignals(blocked)

    def _ask_fills(self) -> None:
        self.session.engine.ask(lambda number: DescribeFills(id=number))

    def _on_fills(self, answer: Answer) -> None:
        if isinstance(answer, Ready) and not self.fill.count():
            self._ask_fills()
        elif isinstance(answer, FillsDescribed) and not self.fill.count():
            for number, fill in enumerate(answer.fills):
                self.fill.addItem(fill.title, fill.name)
                self.fill.setItemData(number, fill.about, Qt.ItemDataRole.ToolTipRole)
            self._explain_fill()
            self._enable()

    def _on_answer(self, job: Job, answer: Answer) -> None:
        super()._on_answer(job, answer)
        if not self.busy:
            self.progress.hide()
        if isinstance(answer, Failed):
            self._trial = None

    def _on_death(self, cause: str) -> None:
        super()._on_death(cause)
        self.progress.hide()

    def _enable(self) -> None:
        there = bool(self.trials.trials)
        for button in (self.undo, self.clear, self.save_table):
            button.setEnabled(there)
        current = self.trials.current
        self.as_it_is.setEnabled(current is not None and current.before is not None)
        for button in (self.remove, self.reveal):
            button.setEnabled(self.fill.count() > 0)

    def _ask_where(self) -> None:
        self.save("Save the trials", "what_if.csv", self.write_table)


def _id_of(slide: ExplainedSlide) -> str:
    return str(slide.layer.unique_id)
