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
from napari_smoothsal.viewer.asked import Describe, DescribeModel, Explain
from napari_smoothsal.viewer.asking import Asking, Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.copied_settings import Setting, as_command, as_python
from napari_smoothsal.viewer.cursor_reading import CursorReading
from napari_smoothsal.viewer.explain_job import REGION, SLIDE, VIEW, explain_job, input_job
from napari_smoothsal.viewer.input_layer import show_input
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.map_picture import ClassPicture
from napari_smoothsal.viewer.moving_view import MovingView
from napari_smoothsal.viewer.placement import Part
from napari_smoothsal.viewer.reading_panel import ReadingPanel
from napari_smoothsal.viewer.remembered import remember, remembered
from napari_smoothsal.viewer.requests import (
    NotExplainableError,
    explained_slide,
)
from napari_smoothsal.viewer.run_bar import RunBar
from napari_smoothsal.viewer.saving import Saving
from napari_smoothsal.viewer.slide_form import SlideForm
from napari_smoothsal.viewer.slide_source import source_of
from napari_smoothsal.viewer.spec_form import SpecForm
from napari_smoothsal.viewer.tissue_layer import hide_tissue
from napari_smoothsal.viewer.told import (
    Answer,
    Described,
    Estimated,
    Failed,
    Finished,
    Grown,
    InputShown,
    ModelDescribed,
    Progressed,
    Reading,
    Ready,
    Stopped,
    TissueFound,
)
from napari_smoothsal.viewer.turns import Turns

if TYPE_CHECKING:
    import napari

MAX_WIDTH = 420
HIDE = "Shift-H"
"""Takes the maps off the tissue and puts them back."""

STARTING = "Starting the computing process; what you asked for begins as soon as it is ready ..."
NO_TISSUE = "No tissue found here: nothing to explain."


class SaliencyDock(LeavingDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._model: ModelDescribed | None = None
        self._described = False
        self._asked_model = 0
        self._loading = False
        self._waiting: Callable[[], None] | None = None
        self._remembered = remembered()
        self._shown_last: object = None
        self._shown: Job | None = None
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

        self._asking = Asking(self.session, self)
        self._saving = Saving(self.session, self)
        self._asking.told.connect(self._on_news)
        self._asking.ended.connect(self._on_end)
        self._saving.saved.connect(self.bar.say)
        self._saving.failed.connect(self.bar.problem)
        self._moving = MovingView(viewer, self)
        choice = self.session.choice
        choice.made_by(self._chosen)
        self._moving.rested.connect(choice.settled)
        self._moving.rested.connect(self._on_rest)
        self.form.changed.connect(self._moving.change)
        self.slides.model_chosen.connect(self._ask_model)
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
        bar.say("Starting the computing process ...")
        if engine.ready:
            self._describe()
        else:
            engine.start()

    @property
    def busy(self) -> bool:
        """Whether something is being explained, or will be once the engine has started."""
        job = self._asking.job
        if self._waiting is not None:
            return True
        return job is not None and not job.waiting and not job.paused

    def explain_view(self) -> None:
        """Explain what is in view."""
        self._explain(VIEW)

    def explain_view_when_ready(self, **values: Any) -> None:
        """The same with some controls set, as soon as the engine has told what there is."""
        if self._model is None:
            self._waiting = partial(self.explain_view_when_ready, **values)
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
        self._saving.ask(folder, stretched=self.colours.stretched.isChecked())

    def cancel(self) -> None:
        """End what is being explained; the store of a slide can be resumed."""
        if self._waiting is not None:
            self._waiting = None
            self.bar.end("Stopped.")
        if self._asking.job is not None:
            self.bar.say("Stopping after this batch ...")
            self._asking.cancel()

    @property
    def _starting(self) -> bool:
        """Whether it is a matter of seconds until there is a model."""
        return self._model is None and (self._loading or not self._described)

    def _explain(self, what: Part, *, estimated: bool = False, aloud: bool = True) -> None:
        self.slides.check()
        if self._starting and aloud:
            self._waiting = partial(self._explain, what, estimated=estimated)
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
        assert self._model is not None  # of every job
        remember({"model": self._model.model, "spec": self.form.values()})
        hide_tissue(self.viewer)
        self.bar.begin("Reading the view ..." if job.view else "Looking for tissue ...")
        self._asking.begin(job)

    def _chosen(self) -> Chosen:
        spec, tiling = self.form.spec(), self.form.tiling.settings()
        compute = self.form.compute.settings()
        if self._model is None:
            starting = "the computing process is still starting; try again in a few seconds"
            raise NotExplainableError(starting if self._starting else "choose a model first")
        if spec is None:
            raise NotExplainableError(self.form.problem)
        if tiling is None or compute is None:
            raise NotExplainableError(self.form.tiling.problem or self.form.compute.problem)
        layer = self.slides.layer
        if layer is None:
            raise NotExplainableError("open a slide first, e.g. with File > Open")
        slide = explained_slide(layer, self.slides.asked_mpp)
        return Chosen(slide, spec, self._model, tiling, compute)

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
        self.bar.say("All settings are the defaults again.")

    def _ask_where(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Save the map to", self.slides.folder)
        if chosen:
            self.save(Path(chosen))

    def _copy(self, written: Any, what: str) -> None:
        try:
            chosen = self._chosen()
        except SmoothsalError as error:
            self.bar.problem(str(error))
            return
        slide = chosen.slide
        source = source_of(slide.layer)
        path = str(source.path) if source is not None else "slide.svs"
        given = None if source is not None and source.mpp == slide.mpp else slide.mpp[0]
        setting = Setting(
            path,
            "maps.smoothsal.zarr",
            given,
            chosen.model.model,
            chosen.spec,
            chosen.tiling,
            chosen.compute,
        )
        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(written(setting))
        self.bar.say(f"Copied as {what}: it explains the slide with these settings.")

    def _ask_model(self, model: str) -> None:
        self._model = None
        self.form.forget_model()
        if not self._described:
            return  # asked for once the denoisings are known: a form is filled as a whole
        self._loading = True
        if self._waiting is None:
            self.bar.say("Loading the model ...")
        self._asked_model = self.session.engine.ask(
            lambda number: DescribeModel(id=number, model=model)
        )

    def _describe(self) -> None:
        self.session.engine.ask(lambda number: Describe(id=number))

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer, Ready):
            self._describe()
        elif isinstance(answer, Described):
            self._on_described(answer)
        elif isinstance(answer, ModelDescribed):
            if answer.id == self._asked_model:
                self._on_model(answer)
        elif isinstance(answer, Failed) and answer.id == self._asked_model:
            self._stop_waiting()
            self.slides.mark_model(answer.message)
            self.bar.problem(answer.message)
        elif not self._saving.hear(answer):
            self._asking.hear(answer)

    def _on_described(self, answer: Described) -> None:
        self._described = True
        self.form.describe(answer)
        if not self.busy:
            self.bar.say("Choose a model.")
        asked, chosen = self._asked_model, self.slides.model
        self.slides.offer_models(answer.models)
        wanted = self._remembered.get("model")
        if chosen is None and wanted in answer.models:
            self.slides.model = wanted
        elif chosen is None and isinstance(wanted, str) and Path(wanted).is_dir():
            self.slides.add_model(wanted)
        if self._model is None and self._asked_model == asked and self.slides.model:
            self._ask_model(self.slides.model)
        if self._waiting is not None and not self._starting and self._model is None:
            self._stop_waiting()
            self.bar.problem("choose a model first")

    def _stop_waiting(self) -> None:
        """There is no model to wait for."""
        self._loading = False
        if self._waiting is not None:
            self._waiting = None
            self.bar.end("")

    def _on_model(self, answer: ModelDescribed) -> None:
        self._model, self._loading = answer, False
        self.form.describe_model(answer)
        kept, self._remembered = self._remembered, {}
        if kept.get("model") == answer.model and isinstance(kept.get("spec"), dict):
            self.form.restore(kept["spec"])
        self.bar.say(answer.intended_use or f"Model {answer.name} is ready.")
        if self._waiting is not None:
            ask, self._waiting = self._waiting, None
            self.bar.end("")
            ask()

    def _on_news(self, job: Job, answer: Answer) -> None:
        if isinstance(answer, Progressed):
            self.bar.progress(answer, kept=not job.view)
        elif isinstance(answer, TissueFound):
            if job.overlay is not None and job.what == SLIDE:  # a region is outlined already
                job.overlay.show_tissue(answer)
            found = f"Tissue: {100 * answer.share:.0f} % of the slide ({answer.source})."
            trying = " Trying two tiles, to say how long all take ..." if job.estimated else ""
            self.bar.say(found + trying)
        elif isinstance(answer, Estimated):
            if answer.tiles:
                self.bar.ask(answer)
            else:
                self._asking.cancel()
                self.bar.say(NO_TISSUE)
        elif isinstance(answer, Finished | Stopped):  # which it is not for good
            if isinstance(answer, Finished) and answer.reading.tiles:
                self._show(job, answer)
            self.bar.say("Paused. Resume goes on where it stopped.")
        elif isinstance(answer, Grown):
            self._show(job, answer)
            if answer.reading is not None:
                self._read_out(job, answer.reading, answer.classes)

    def _on_end(self, job: Job, answer: Finished | InputShown | Failed | Stopped) -> None:
        hide_tissue(self.viewer)
        if isinstance(answer, Finished):
            self._on_finished(job, answer)
        elif isinstance(answer, InputShown):
            assert job.slide is not None, "it is of a slide"
            show_input(self.viewer, job.slide, answer)
            self.bar.end(f"The model gets this tile, at {answer.um_per_px:.3g} um per pixel.")
        elif isinstance(answer, Stopped):
            kept = " The same again goes on where it stopped." if job.paused else ""
            self.bar.end(f"Stopped.{kept}")
        else:
            said = answer.message
            if not answer.expected:
                said = f"This program failed ({answer.kind}: {answer.message}); please report it."
            self.form.blame(answer.message if answer.expected else "")
            self.bar.end("")
            self.bar.problem(said, aloud=not self.bar.live.isChecked())

    def _show(self, job: Job, answer: Grown | Finished) -> None:
        assert job.overlay is not None, "every explanation is shown"
        picture = answer.pictures[0]
        complete = isinstance(answer, Finished) and answer.status != "running"
        job.overlay.show(picture, answer.classes, complete=complete)
        self.colours.bring_up_to_date(job.overlay.layer)
        self._shown = job
        if isinstance(answer, Finished):
            self._turns.add(partial(self._hatch, job, answer))

    def _hatch(self, job: Job, answer: Finished) -> None:
        assert job.overlay is not None, "it is shown"
        if self._shown is not job:
            return  # the layer shows the next map already
        # Where it decides per pixel its class map says where.
        classes = () if answer.classes else job.classes
        job.overlay.hatch(answer.pictures[0].target, classes, answer.tiles)
        self.colours.bring_up_to_date(job.overlay.layer)

    def _read_out(
        self, job: Job, reading: Reading, classes: ClassPicture | None, *, complete: bool = True
    ) -> None:
        colours = classes.shown if classes is not None else None
        whole = "" if complete else ", as far as it is"
        self.reading.show_reading(f"This {job.what}{whole}", reading, colours)

    def _on_finished(self, job: Job, answer: Finished) -> None:
        stopped = answer.status == "running"
        if answer.reading.tiles and not (stopped and job.view):
            explained = job.make(job.id)
            assert isinstance(explained, Explain), "it has a map"
            self._saving.remember(explained, answer.pictures[0], job.scratch)
            self.bar.save.setEnabled(True)
        if not (stopped and job.view) and answer.reading.tiles:
            self._show(job, answer)
        if not stopped or answer.reading.tiles:
            self._read_out(job, answer.reading, answer.classes, complete=not stopped)
        if stopped:
            resume = "" if job.view else " The same again goes on where it stopped."
            self.bar.end(f"Stopped.{resume}")
        elif not answer.reading.tiles and answer.reading.failed:
            self.bar.end("No tile could be read or computed; the slide may be damaged here.")
        elif not answer.reading.tiles:
            self.bar.end(NO_TISSUE)
        else:
            if job.slide is not None and answer.tiles and not job.view:
                self.session.choice.tell_explained(job.slide, answer.tiles)
            self.bar.end("Done." + "".join(f" Note: {text}." for text in answer.warnings))

    def _on_death(self, cause: str) -> None:
        self._saving.forget()
        self._stop_waiting()
        self._shown_last = None  # Live asks again
        lost = self._asking.forget()
        if lost is not None:
            self.bar.end("")
            if not lost.view:
                cause += " The same again goes on where it stopped."
        self.bar.problem(cause)
