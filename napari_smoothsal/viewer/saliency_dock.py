"""The Saliency dock: choose slide, model, layer and denoising; explain the view or the slide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.viewer.colour_bar import ColourBar
from napari_smoothsal.viewer.messages import (
    Answer,
    Describe,
    Described,
    DescribeModel,
    Explain,
    Failed,
    Finished,
    Grown,
    ModelDescribed,
    Progressed,
    Ready,
    Stopped,
    TissueFound,
)
from napari_smoothsal.viewer.overlay import Overlay
from napari_smoothsal.viewer.reading_panel import ReadingPanel
from napari_smoothsal.viewer.requests import NotExplainableError, explained_slide, store_path
from napari_smoothsal.viewer.run_bar import RunBar
from napari_smoothsal.viewer.session import session_of
from napari_smoothsal.viewer.slide_form import SlideForm
from napari_smoothsal.viewer.slide_source import METADATA
from napari_smoothsal.viewer.spec_form import SpecForm

if TYPE_CHECKING:
    import napari

MAX_WIDTH = 420


@dataclass
class _Job:
    """A request that has been sent, or whose pixels are being copied (id 0)."""

    what: str
    overlay: Overlay
    scratch: Path
    view: bool
    id: int = 0


class SaliencyDock(QWidget):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        self._docked = False
        super().__init__(parent)
        self._viewer = viewer
        self._session = session_of(viewer)
        self._session.enter()
        self._model: ModelDescribed | None = None
        self._described = False
        self._asked_model = 0
        self._job: _Job | None = None
        self._old: dict[int, _Job] = {}
        self._copying: Iterator[None] | None = None
        self._waiting: dict[str, Any] | None = None

        self.slides = SlideForm(viewer)
        self.form = SpecForm()
        self.bar = RunBar()
        self.colours = ColourBar()
        self.reading = ReadingPanel()
        layout = QVBoxLayout(self)
        for part in (self.slides, self.form, self.bar, self.colours, self.reading):
            layout.addWidget(part)
        layout.addStretch(1)
        self.setMaximumWidth(MAX_WIDTH)

        self.slides.model_chosen.connect(self._ask_model)
        self.bar.explain_view.clicked.connect(self.explain_view)
        self.bar.explain_slide.clicked.connect(self.explain_slide)
        self.bar.cancel.clicked.connect(self.cancel)
        self._copy_timer = QTimer(self)
        self._copy_timer.timeout.connect(self._copy_on)
        engine = self._session.engine
        engine.answered.connect(self._on_answer)
        engine.died.connect(self._on_death)
        session, slides = self._session, self.slides
        selection = viewer.layers.selection
        selection.events.active.connect(self._show_legend_of)
        ended: list[bool] = []

        def end(*_: object) -> None:
            # Whichever comes first: the dock or the application.
            if not ended:
                ended.append(True)
                slides.disconnect_viewer()
                selection.events.active.disconnect(self._show_legend_of)
                session.leave()

        self._end = end
        self.destroyed.connect(end)
        application = QCoreApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(end)
        self.bar.say("Starting the computing process ...")
        if engine.ready:
            self._describe()
        else:
            engine.start()

    def event(self, event: QEvent | None) -> bool:
        """End with the dock's frame: napari takes its content out and may keep it alive."""
        handled = bool(super().event(event))
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._end()
        return handled

    @property
    def busy(self) -> bool:
        """Whether something is being explained."""
        return self._job is not None

    def explain_view(self) -> None:
        """Explain what is in view."""
        self._explain(view=True)

    def explain_view_when_ready(self, **values: Any) -> None:
        """The same with some controls set, as soon as the engine has told what there is."""
        if self._model is None:
            self._waiting = values
            return
        for name, value in values.items():
            self.form.controls[name].value = value
        self.explain_view()

    def explain_slide(self) -> None:
        """Explain the slide; its store is kept."""
        self._explain(view=False)

    def cancel(self) -> None:
        """End what is being explained; the store of a slide can be resumed."""
        job = self._job
        if job is None:
            return
        if job.id == 0:
            self._copying = None
            self._copy_timer.stop()
            self._end_job("Stopped.")
            return
        self.bar.say("Stopping after this batch ...")
        self._session.engine.cancel(job.id)

    def _explain(self, *, view: bool) -> None:
        try:
            spec = self.form.spec()
            if self._model is None:
                starting = "the computing process is still starting; try again in a few seconds"
                raise NotExplainableError("choose a model first" if self._described else starting)
            if spec is None:
                raise NotExplainableError(self.form.problem)
            layer = self.slides.layer
            if layer is None:
                raise NotExplainableError("open a slide first, e.g. with File > Open")
            slide = explained_slide(layer, self.slides.asked_mpp)
            region = slide.view(self._viewer) if view else None
            scratch = self._session.new_folder()
            if view:
                out = scratch / "view.smoothsal.zarr"
            else:
                out = store_path(slide, self.slides.folder, self._model.name, spec)
            sent, steps = slide.handed_over(region, self._model.tile_um, scratch)
        except SmoothsalError as error:
            self.bar.problem(str(error))
            return
        model, batch = self._model.model, self._model.view_batch
        most = self._model.most_view_tiles
        self._supersede()
        job = _Job(
            "This view" if view else "This slide",
            Overlay(self._viewer, layer, slide.mpp, view=view),
            scratch,
            view,
        )

        def send() -> None:
            job.id = self._session.engine.ask(
                lambda number: Explain(
                    id=number,
                    slide=sent,
                    model=model,
                    spec=spec,
                    compute=Compute(batch_size=batch) if view else Compute(),
                    region=region,
                    out=str(out.absolute()),
                    max_tiles=most if view else None,
                )
            )

        self._job = job
        self.bar.begin("Reading the view ..." if view else "Looking for tissue ...")
        self._copying = self._then(steps, send)
        self._copy_on()
        if self._copying is not None:
            self._copy_timer.start(0)

    @staticmethod
    def _then(steps: Iterator[None], send: Any) -> Iterator[None]:
        yield from steps
        send()

    def _copy_on(self) -> None:
        try:
            ended = self._copying is None or next(self._copying, self) is self
        except Exception as error:  # noqa: BLE001 - a full disk, a lazy layer's own error
            self._end_job("")
            self.bar.problem(f"The view could not be read: {error}")
            ended = True
        if ended:
            self._copying = None
            self._copy_timer.stop()

    def _supersede(self) -> None:
        # The engine ends the older request when the newer one arrives.
        self._copy_timer.stop()
        if self._job is not None and self._job.id:
            self._old[self._job.id] = self._job
        elif self._job is not None:
            self._session.discard(self._job.scratch)
        self._job = None

    def _ask_model(self, model: str) -> None:
        self._model = None
        self.form.forget_model()
        if not self._described:
            return  # asked for once the denoisings are known: a form is filled as a whole
        self.bar.say("Loading the model ...")
        self._asked_model = self._session.engine.ask(
            lambda number: DescribeModel(id=number, model=model)
        )

    def _describe(self) -> None:
        self._session.engine.ask(lambda number: Describe(id=number))

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer, Ready):
            self._describe()
        elif isinstance(answer, Described):
            self._described = True
            self.form.describe(answer)
            self.bar.notice(answer.notice)
            if not self.busy:
                self.bar.say("Choose a model.")
            self.slides.offer_models(answer.models)
            if self._model is None and self.slides.model:
                self._ask_model(self.slides.model)
        elif isinstance(answer, ModelDescribed):
            if answer.id == self._asked_model:
                self._model = answer
                self.form.describe_model(answer)
                self.bar.say(answer.intended_use or f"Model {answer.name} is ready.")
                if self._waiting is not None:
                    values, self._waiting = self._waiting, None
                    self.explain_view_when_ready(**values)
        elif isinstance(answer, Failed) and answer.id == self._asked_model:
            self.bar.problem(answer.message)
        elif self._job is not None and answer.id == self._job.id:
            self._on_news(self._job, answer)
        elif isinstance(answer, Finished | Failed | Stopped):
            old = self._old.pop(answer.id, None)
            self._session.discard(old.scratch if old is not None else None)

    def _on_news(self, job: _Job, answer: Answer) -> None:
        if isinstance(answer, Progressed):
            self.bar.progress(answer)
        elif isinstance(answer, TissueFound):
            job.overlay.show_tissue(answer)
            self.bar.say(f"Tissue: {100 * answer.share:.0f} % of the slide ({answer.source}).")
        elif isinstance(answer, Grown):
            self._show(job, answer)
        elif isinstance(answer, Stopped):
            self._end_job("Stopped.")
        elif isinstance(answer, Failed):
            said = answer.message
            if not answer.expected:
                said = f"This program failed ({answer.kind}: {answer.message}); please report it."
            self._end_job("")
            self.bar.problem(said)
        elif isinstance(answer, Finished):
            self._on_finished(job, answer)

    def _show_legend_of(self, event: Any) -> None:
        own = event.value.metadata.get(METADATA) if event.value is not None else None
        if isinstance(own, dict) and "legend" in own:
            self.colours.show_legend(own["legend"], own["limit"])

    def _show(self, job: _Job, answer: Grown | Finished) -> None:
        picture = answer.pictures[0]
        job.overlay.show(picture, answer.classes)
        self.colours.show_legend(picture.legend, picture.limit)

    def _on_finished(self, job: _Job, answer: Finished) -> None:
        stopped = answer.status == "running"
        if not (stopped and job.view) and answer.reading.tiles:
            self._show(job, answer)
        if not stopped or answer.reading.tiles:
            colours = answer.classes.shown if answer.classes is not None else None
            self.reading.show_reading(job.what, answer.reading, colours)
        if stopped:
            resume = "" if job.view else " Explain slide goes on where it stopped."
            self._end_job(f"Stopped.{resume}")
        elif not answer.reading.tiles and answer.reading.failed:
            self._end_job("No tile could be read or computed; the slide may be damaged here.")
        elif not answer.reading.tiles:
            self._end_job("No tissue found here: nothing to explain.")
        else:
            self._end_job("Done." + "".join(f" Note: {text}." for text in answer.warnings))

    def _on_death(self, cause: str) -> None:
        for job in self._old.values():
            self._session.discard(job.scratch)
        self._old.clear()
        if self._job is not None and not self._job.view:
            cause += " Explain slide goes on where it stopped."
        if self._job is not None:
            self._end_job("")
        self.bar.problem(cause)

    def _end_job(self, said: str) -> None:
        if self._job is not None:
            self._session.discard(self._job.scratch)
            self._job = None
        self.bar.end(said)
