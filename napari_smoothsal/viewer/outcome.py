"""Outcome: what has come of a question so far, as map, as reading and in words."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from napari_smoothsal.viewer.asked import Explain
from napari_smoothsal.viewer.asking import Job
from napari_smoothsal.viewer.explain_job import SLIDE
from napari_smoothsal.viewer.input_layer import show_input
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.map_picture import ClassPicture
from napari_smoothsal.viewer.reading_panel import ReadingPanel
from napari_smoothsal.viewer.run_bar import RunBar
from napari_smoothsal.viewer.saving import Saving
from napari_smoothsal.viewer.session import Session
from napari_smoothsal.viewer.told import (
    Answer,
    Finished,
    Grown,
    InputShown,
    Progressed,
    Reading,
    Stopped,
    TissueFound,
)
from napari_smoothsal.viewer.turns import Turns

if TYPE_CHECKING:
    import napari

NOTHING_CHOSEN = "No tile is one to be explained ({}): all are predicted only."
NO_TISSUE = "No tissue found here: nothing to explain."


class Outcome:
    """Shows what the engine answers to a dock's questions.

    Parameters
    ----------
    viewer, session
        Of the dock.
    bar, colours, reading
        Its parts in which it is shown.
    saving, turns
        What can be saved is told the one; what takes long is done in the other.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session,
        bar: RunBar,
        colours: MapDisplay,
        reading: ReadingPanel,
        saving: Saving,
        turns: Turns,
    ) -> None:
        self._viewer, self._session = viewer, session
        self._bar, self._colours, self._reading = bar, colours, reading
        self._saving, self._turns = saving, turns
        self._shown: Job | None = None

    def on_news(self, job: Job, answer: Answer) -> None:
        """An answer that is not the last one."""
        if isinstance(answer, Progressed):
            self._bar.progress(answer, kept=not job.view)
        elif isinstance(answer, TissueFound):
            if job.overlay is not None and job.what == SLIDE:  # a region is outlined already
                job.overlay.show_tissue(answer)
            found = f"Tissue: {100 * answer.share:.0f} % of the slide ({answer.source})."
            trying = " Trying two tiles, to say how long all take ..." if job.estimated else ""
            self._bar.say(found + trying)
        elif isinstance(answer, Finished | Stopped):  # which it is not for good
            if isinstance(answer, Finished) and answer.reading.looked_at:
                self._show(job, answer)
            self._bar.say("Paused. Resume goes on with the tiles that are not finished.")
        elif isinstance(answer, Grown):
            # A busy window may hear of a round when the next ones have taken its place.
            with contextlib.suppress(FileNotFoundError):
                self._show(job, answer)
            if answer.reading is not None:
                self._read_out(job, answer.reading, answer.classes)

    def on_end(self, job: Job, answer: Finished | InputShown | Stopped) -> None:
        """The last answer."""
        if isinstance(answer, Finished):
            self._on_finished(job, answer)
        elif isinstance(answer, InputShown):
            assert job.slide is not None, "it is of a slide"
            show_input(self._viewer, job.slide, answer)
            self._bar.end(f"The model gets this tile, at {answer.um_per_px:.3g} um per pixel.")
        else:
            kept = " The same again goes on where it stopped." if job.paused else ""
            self._bar.end(f"Stopped.{kept}")

    def _show(self, job: Job, answer: Grown | Finished) -> None:
        assert job.overlay is not None, "every explanation is shown"
        picture = answer.pictures[0]
        complete = isinstance(answer, Finished) and answer.status != "running"
        job.overlay.show(picture, answer.classes, complete=complete)
        self._colours.bring_up_to_date(job.overlay.layer)
        self._shown = job
        if isinstance(answer, Finished):
            self._turns.add(partial(self._mark, job, answer))

    def _mark(self, job: Job, answer: Finished) -> None:
        assert job.overlay is not None, "it is shown"
        if self._shown is not job:
            return  # the layer shows the next map already
        if answer.states is not None:
            job.overlay.mark(answer.states.unpacked())
        self._colours.bring_up_to_date(job.overlay.layer)

    def _read_out(
        self, job: Job, reading: Reading, classes: ClassPicture | None, *, complete: bool = True
    ) -> None:
        colours = classes.shown if classes is not None else None
        whole = "" if complete else ", as far as it is"
        self._reading.show_reading(f"This {job.what}{whole}", reading, colours)

    def _on_finished(self, job: Job, answer: Finished) -> None:
        stopped = answer.status == "running"
        looked_at = answer.reading.looked_at
        if looked_at and not (stopped and job.view):
            explained = job.make(job.id)
            assert isinstance(explained, Explain), "it has a map"
            self._saving.remember(explained, answer.pictures[0], job.scratch)
            self._bar.save.setEnabled(True)
        if not (stopped and job.view) and looked_at:
            self._show(job, answer)
        if not stopped or looked_at:
            self._read_out(job, answer.reading, answer.classes, complete=not stopped)
        if stopped:
            resume = "" if job.view else " The same again goes on where it stopped."
            self._bar.end(f"Stopped.{resume}")
        elif not looked_at and answer.reading.failed:
            self._bar.end("No tile could be read or computed; the slide may be damaged here.")
        elif not looked_at:
            self._bar.end(NO_TISSUE)
        else:
            if job.slide is not None and answer.tiles and not job.view:
                self._session.choice.tell_explained(job.slide, answer.tiles)
            choice = answer.reading.choice
            none = "" if answer.reading.tiles else f" {NOTHING_CHOSEN.format(choice)}"
            notes = "".join(f" Note: {text}." for text in answer.warnings)
            self._bar.end(f"Done.{none}{notes}")
