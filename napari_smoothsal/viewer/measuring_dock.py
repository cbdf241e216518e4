"""MeasuringDock: what the docks share that ask the engine about a view, by a click or live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.asked import Explain, Request
from napari_smoothsal.viewer.asking import WAITING, Asking, Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.drawn_region import drawn_region
from napari_smoothsal.viewer.explain_job import explain_request
from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.run_bar import PROBLEM, sentence
from napari_smoothsal.viewer.told import Answer, Failed, Stopped

if TYPE_CHECKING:
    import napari

Made = tuple[str, Callable[[Explain], Request]]
"""What a question is called, and how it is made of an explanation that is not computed."""


class MeasuringDock(LeavingDock):
    """A dock with one question at a time, a status line, and the buttons Live and Cancel.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    about
        What the status line says at first.
    live
        Tooltip of Live.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        about: str,
        live: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(viewer, parent)
        self.live = QPushButton("Live")
        self.live.setCheckable(True)
        self.live.setToolTip(live)
        self.cancel = QPushButton("Cancel")
        self.cancel.setEnabled(False)
        self.status_line = QLabel(about)
        self.status_line.setWordWrap(True)
        self._last: object = None
        self._asking = Asking(self.session, self)
        self._asking.told.connect(self._on_answer)
        self._asking.ended.connect(self._on_answer)
        self.cancel.clicked.connect(self._asking.cancel)
        self.live.toggled.connect(self._on_settled)
        self.at_end(self._asking.abandon)
        self.hear(self.session.engine.answered, self._asking.hear)
        self.hear(self.session.engine.died, self._on_death)
        self.hear(self.session.choice.settled, self._on_settled)

    @property
    def busy(self) -> bool:
        """Whether it waits for an answer."""
        return self._asking.job is not None

    @property
    def status(self) -> str:
        """What is said."""
        return str(self.status_line.text())

    def ask_view(self) -> None:
        """Ask about what is in view."""
        raise NotImplementedError

    def show_answer(self, job: Job, answer: Answer) -> None:
        """Show an answer that is no failure."""
        raise NotImplementedError

    def ask(
        self,
        make: Callable[[Chosen], Made],
        saying: str,
        *,
        view: bool = True,
        drawn: bool = False,
        region: Region | None = None,
    ) -> None:
        """Ask about the view, the slide, or what is drawn on it.

        Parameters
        ----------
        make
            From what is chosen; may raise `NotExplainableError`.
        saying
            What is said while it is computed.
        view
            Whether it is about the view.
        drawn
            Whether it is about what is drawn in a Shapes layer.
        region
            What is taken for the view; None: what is in the window.
        """
        scratch = self.session.new_folder()
        try:
            chosen = self.session.choice.now()
            slide, model = chosen.slide, chosen.model
            what, question = make(chosen)
            region, tiling = (region or slide.view(self.viewer)) if view else None, chosen.tiling
            if drawn:
                shapes = drawn_region(self.viewer, slide)
                region, tiling = shapes.region, shapes.within(tiling, scratch)
            sent, steps = slide.handed_over(region, model.tile_um, scratch)
        except SmoothsalError as error:
            self.session.discard(scratch)
            self.say(str(error), problem=True)
            return

        def request(number: int) -> Request:
            out = scratch if view else None
            asked = explain_request(number, chosen, sent, tiling, region, out, view=view)
            return question(asked)

        self.say(WAITING if self._asking.must_wait else saying)
        self.cancel.setEnabled(True)
        self._asking.begin(Job(what, None, scratch, request, steps, view))

    def save(self, title: str, name: str, write: Callable[[Path], None]) -> None:
        """Ask for a file and write it; where that fails, say so."""
        path, _ = QFileDialog.getSaveFileName(self, title, name)
        if path:
            try:
                write(Path(path))
            except OSError as error:
                why = error.strerror or "not a place that can be written to"
                self.say(
                    f"{Path(path).name!r} could not be written ({why}); choose another folder",
                    problem=True,
                )

    def say(self, text: str, *, problem: bool = False) -> None:
        """Say how things stand."""
        self.status_line.setStyleSheet(PROBLEM if problem else "")
        self.status_line.setText(sentence(text))

    def _on_settled(self, _value: Any = None) -> None:
        job = self._asking.job
        if not self.live.isChecked() or (job is not None and not job.view):
            return
        try:
            key = self.session.choice.key(self.viewer)
        except SmoothsalError as error:
            self.say(str(error), problem=True)
            return
        if key != self._last:
            self._last = key
            self.ask_view()

    def _on_answer(self, job: Job, answer: Answer) -> None:
        self.cancel.setEnabled(self.busy)
        if isinstance(answer, Failed):
            self.say(answer.message, problem=True)
        elif isinstance(answer, Stopped):
            self.say("Stopped.")
        else:
            self.show_answer(job, answer)

    def _on_death(self, cause: str) -> None:
        if self._asking.forget() is not None:
            self.cancel.setEnabled(False)
            self.say(cause, problem=True)


def row_of(*buttons: QPushButton) -> QHBoxLayout:
    """Buttons beside each other."""
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
