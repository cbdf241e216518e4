"""The Saliency dock: choose slide, model, layer and denoising; explain view, region or slide."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.kept_calibrations import calibrations_mark
from napari_smoothsal.viewer.asking import Asking, Job
from napari_smoothsal.viewer.awaited_model import NO_MODEL, AwaitedModel
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.copied_settings import Setting, as_command, as_python, setting_of
from napari_smoothsal.viewer.cursor_reading import CursorReading
from napari_smoothsal.viewer.explain_job import REGION, SLIDE, VIEW, explain_job, input_job
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.moving_view import MovingView
from napari_smoothsal.viewer.outcome import NO_TISSUE, Outcome
from napari_smoothsal.viewer.placement import Part
from napari_smoothsal.viewer.reading_panel import ReadingPanel
from napari_smoothsal.viewer.remembered import remember
from napari_smoothsal.viewer.requests import (
    NotExplainableError,
    explained_model,
    explained_slide,
)
from napari_smoothsal.viewer.run_bar import RunBar
from napari_smoothsal.viewer.saving import Saving
from napari_smoothsal.viewer.shared_settings import DockSettings
from napari_smoothsal.viewer.slide_form import SlideForm
from napari_smoothsal.viewer.spec_form import SpecForm
from napari_smoothsal.viewer.tissue_layer import hide_tissue
from napari_smoothsal.viewer.told import (
    Answer,
    Estimated,
    Failed,
    Finished,
    InputShown,
    Stopped,
)
from napari_smoothsal.viewer.turns import Turns

if TYPE_CHECKING:
    import napari

MAX_WIDTH = 420
HIDE = "Shift-H"
"""Takes the maps off the tissue and puts them back."""

STARTING = "Starting the computing process; what you asked for begins as soon as it is ready ..."


class SaliencyDock(LeavingDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._shown_last: object = None
        self._turns = Turns(self)

        self.slides = SlideForm(viewer)
        self.form = SpecForm()
        self.bar = RunBar()
        self.colours = MapDisplay(viewer)
        self.pointer = CursorReading(viewer)
        self.reading = ReadingPanel()
        content = QWidget()
        layout = QVBoxLayout(content)
        parts = (self.slides, self.form, self.bar, self.colours, self.pointer, self.reading)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch(1)
        self.setMaximumWidth(MAX_WIDTH)
        self.put_into_a_scroll_area(content)

        self._awaited = AwaitedModel(self.session, self.slides, self.form, self.bar, self)
        self._asking = Asking(self.session, self)
        self._saving = Saving(self.session, self)
        self._outcome = Outcome(
            viewer,
            self.session,
            self.bar,
            self.colours,
            self.reading,
            self._saving,
            self._turns,
        )
        self._asking.told.connect(self._on_news)
        self._asking.ended.connect(self._on_end)
        self._saving.saved.connect(self.bar.say)
        self._saving.failed.connect(self.bar.problem)
        self._moving = MovingView(viewer, self)
        choice = self.session.choice
        choice.made_by(self._chosen)
        choice.settings_of(DockSettings(self))
        self._moving.rested.connect(choice.settled)
        self._moving.rested.connect(self._on_rest)
        self.hear(choice.limits_changed, self._moving.change)
        self.form.changed.connect(self._moving.change)
        self.slides.slide_chosen.connect(self.form.forget_slide)
        self.slides.slide_chosen.connect(self._moving.touch)
        bar = self.bar
        bar.explain_view.clicked.connect(self.explain_view)
        bar.explain_region.clicked.connect(self.estimate_region)
        bar.explain_slide.clicked.connect(self.estimate_slide)
        bar.start.clicked.connect(self.start)
        bar.pause.toggled.connect(self._asking.pause)
        bar.cancel.clicked.connect(self.cancel)
        bar.live.toggled.connect(self._moving.touch)
        bar.show_input.triggered.connect(self.show_input)
        bar.save.triggered.connect(self._ask_where)
        bar.copy_python.triggered.connect(lambda: self._copy(as_python, "Python"))
        bar.copy_command.triggered.connect(lambda: self._copy(as_command, "command"))
        bar.reset.triggered.connect(self._reset)
        engine = self.session.engine
        self.hear(engine.answered, self._on_answer)
        self.hear(engine.died, self._on_death)
        self.at_end(self._turns.clear)
        self.at_end(self._asking.abandon)
        self.at_end(self.slides.disconnect_viewer)
        self.at_end(self._moving.disconnect_viewer)
        self.at_end(self.pointer.disconnect_viewer)
        self.at_end(self.colours.disconnect_viewer)
        viewer.bind_key(HIDE, lambda _viewer: self.colours.hide_or_show(), overwrite=True)
        self.at_end(partial(viewer.bind_key, HIDE, None, overwrite=True))
        self.at_end(lambda: choice.left_by(self._chosen))
        self.at_end(lambda: choice.settings_of(None))
        self._awaited.begin()

    @property
    def busy(self) -> bool:
        """Whether something is being explained, or will be once the engine has started."""
        job = self._asking.job
        if self._awaited.waited_for:
            return True
        return job is not None and not job.waiting and not job.paused

    @property
    def model_name(self) -> str:
        """What the chosen model's card calls it; empty while there is none."""
        return "" if self._awaited.model is None else self._awaited.model.name

    def explain_view(self) -> None:
        """Explain what is in view."""
        self._explain(VIEW)

    def explain_view_when_ready(self, **values: Any) -> None:
        """The same with some controls set, as soon as the engine has told what there is."""
        if self._awaited.model is None:
            self._awaited.when_there(partial(self.explain_view_when_ready, **values))
            return
        for name, value in values.items():
            self.form.controls[name].value = value
        self.explain_view()

    def explain_region(self) -> None:
        """Explain what is drawn in a Shapes layer; its store is kept."""
        self._explain(REGION)

    def explain_slide(self) -> None:
        """Explain the slide; its store is kept."""
        self._explain(SLIDE)

    def estimate_region(self) -> None:
        """Say what the drawn region would take, and wait for `start`."""
        self._explain(REGION, estimated=True)

    def estimate_slide(self) -> None:
        """Say what the slide would take, and wait for `start`."""
        self._explain(SLIDE, estimated=True)

    def start(self) -> None:
        """Start what was estimated."""
        self.bar.begin("Starting ...")
        self._asking.start()

    def show_input(self) -> None:
        """Show what the model gets of the tile in the middle of the view."""
        scratch = self.session.new_folder()
        try:
            job = input_job(self.viewer, self._chosen(), scratch)
        except SmoothsalError as error:
            self.session.discard(scratch)
            self.bar.problem(str(error))
            return
        self.bar.begin("Reading a tile ...")
        self._asking.begin(job)

    def save(self, folder: Path) -> None:
        """Write store, figure and masks of what was explained last."""
        self.bar.say("Saving ...")
        stretched, calibrated = self.colours.stretched, self.colours.calibrated
        self._saving.ask(folder, stretched=stretched.isChecked(), calibrated=calibrated.isChecked())

    def cancel(self) -> None:
        """End what is being explained; the store of a slide can be resumed."""
        if self._awaited.call_off():
            self.bar.end("Stopped.")
        if self._asking.job is not None:
            self.bar.say("Stopping after this batch ...")
            self._asking.cancel()

    def _explain(self, what: Part, *, estimated: bool = False, aloud: bool = True) -> None:
        self.slides.check()
        if self._awaited.starting and aloud:
            self._awaited.when_there(partial(self._explain, what, estimated=estimated))
            self.bar.begin(STARTING)
            self.session.engine.start()
            return
        scratch = self.session.new_folder()
        try:
            job = explain_job(
                self.viewer, self._chosen(), what, scratch, self.slides.folder, estimated=estimated
            )
        except SmoothsalError as error:
            self.session.discard(scratch)
            self.bar.problem(str(error), aloud=aloud)
            return
        assert self._awaited.model is not None  # of every job
        remember(
            {
                "model": self._awaited.model.model,
                "spec": self.form.values(),
                "resolutions": self.slides.models.resolutions,
            }
        )
        hide_tissue(self.viewer)
        self.bar.begin("Reading the view ..." if job.view else "Looking for tissue ...")
        self._asking.begin(job)

    def _chosen(self) -> Chosen:
        spec, tiling = self.form.spec(), self.form.tiling.settings()
        compute, which = self.form.compute.settings(), self.form.which.settings()
        model = self._awaited.model
        if model is None:
            starting = "the computing process is still starting; try again in a few seconds"
            raise NotExplainableError(starting if self._awaited.starting else NO_MODEL)
        model = explained_model(model, self.slides.models.asked_mpp)
        if spec is None:
            raise NotExplainableError(self.form.problem)
        if tiling is None or compute is None:
            raise NotExplainableError(self.form.tiling.problem or self.form.compute.problem)
        if which is None:
            raise NotExplainableError(self.form.which.problem)
        layer = self.slides.layer
        if layer is None:
            raise NotExplainableError("open a slide first, e.g. with File > Open")
        slide = explained_slide(layer, self.slides.asked_mpp)
        limits = calibrations_mark(model.name)
        return Chosen(slide, spec, model, tiling, compute, which, limits)

    def _on_rest(self) -> None:
        """The view, or a setting, has come to rest: explain it again where that is wished."""
        with contextlib.suppress(SmoothsalError):  # what is missing is told when it is asked for
            self.colours.mark_stale(self._chosen().settings)
        job = self._asking.job
        if not self.bar.live.isChecked() or (job is not None and not job.view):
            return
        try:
            asked = self.session.choice.key(self.viewer)
        except SmoothsalError as error:
            self.bar.problem(str(error), aloud=False)
            return
        if asked != self._shown_last:
            self._shown_last = asked
            self._explain(VIEW, aloud=False)

    def _reset(self) -> None:
        self.form.restore({})
        self.colours.stretched.setChecked(False)
        self.colours.calibrated.setChecked(True)
        self.bar.say("All settings are the defaults again.")

    def _ask_where(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Save the map to", self.slides.folder)
        if chosen:
            self.save(Path(chosen))

    def _copy(self, written: Callable[[Setting], str], what: str) -> None:
        try:
            setting = setting_of(self._chosen())
        except SmoothsalError as error:
            self.bar.problem(str(error))
            return
        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(written(setting))
        self.bar.say(f"Copied as {what}: it explains the slide with these settings.")

    def _on_answer(self, answer: Answer) -> None:
        if not (self._awaited.hear(answer) or self._saving.hear(answer)):
            self._asking.hear(answer)

    def _on_news(self, job: Job, answer: Answer) -> None:
        if not isinstance(answer, Estimated):
            self._outcome.on_news(job, answer)
        elif answer.tiles:
            self.bar.ask(answer)
        else:
            self._asking.cancel()
            self.bar.say(NO_TISSUE)

    def _on_end(self, job: Job, answer: Finished | InputShown | Failed | Stopped) -> None:
        hide_tissue(self.viewer)
        if not isinstance(answer, Failed):
            self._outcome.on_end(job, answer)
            return
        said = answer.message
        if not answer.expected:
            said = f"This program failed ({answer.kind}: {answer.message}); please report it."
        self.form.blame(answer.message if answer.expected else "")
        self.bar.end("")
        self.bar.problem(said, aloud=not self.bar.live.isChecked())

    def _on_death(self, cause: str) -> None:
        self._saving.forget()
        self._awaited.give_up()
        self._shown_last = None  # Live asks again
        lost = self._asking.forget()
        if lost is not None:
            self.bar.end("")
            if not lost.view:
                cause += " The same again goes on where it stopped."
        self.bar.problem(cause)
