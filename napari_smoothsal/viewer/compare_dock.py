"""The Compare dock: one place in two to four ways, beside each other or in turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.asked import Compare, SaveColumns
from napari_smoothsal.viewer.asking import WAITING, Job
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.columns_window import ColumnsWindow
from napari_smoothsal.viewer.explain_job import explain_request
from napari_smoothsal.viewer.measuring_dock import MeasuringDock, row_of
from napari_smoothsal.viewer.told import Answer, Failed, Saved, Stopped
from napari_smoothsal.viewer.told_columns import Compared
from napari_smoothsal.viewer.varied_form import VariedForm, values_of

if TYPE_CHECKING:
    import napari

COLUMNS = ("column", "total variation", "standard error")


class CompareDock(MeasuringDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(
            viewer,
            "The same place in two to four ways, with linked pan, zoom and colours.",
            "Compare again by itself when the view, or a setting, has changed.",
            parent,
        )
        self._window: ColumnsWindow | None = None
        self._shown: Job | None = None
        self._found: Compared | None = None
        self._saving: dict[int, Path] = {}
        self.form = VariedForm()
        self.compare = QPushButton("Compare view")
        self.compare.setToolTip("Compute what is in the window in each of the checked ways.")
        self.blink = QPushButton("Blink")
        self.blink.setToolTip("Show the next column in the same place (key B in the columns).")
        self.save_figure = QPushButton("Save figure ...")
        self.save_figure.setToolTip("The slide and the columns, with names and legend, as a file.")
        self.progress = QProgressBar()
        self.progress.hide()
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.table.horizontalHeader()
        assert header is not None, "a table has one"
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addWidget(self.form)
        layout.addLayout(row_of(self.compare, self.live, self.cancel))
        layout.addLayout(row_of(self.blink, self.save_figure))
        layout.addWidget(self.progress)
        layout.addWidget(self.status_line)
        layout.addWidget(self.table, 1)
        self.put_into_a_scroll_area(content)
        self.compare.clicked.connect(self.ask_view)
        self.blink.clicked.connect(self._blink)
        self.save_figure.clicked.connect(self._ask_where)
        self.form.changed.connect(self._on_form)
        self.hear(self.session.engine.answered, self._on_saved)
        self.hear(self.session.choice.settled, self._offer)
        self.at_end(self._forget)
        self.at_end(self._close_window)
        self._offer()
        self._enable()

    @property
    def window_of_columns(self) -> ColumnsWindow | None:
        """The window that is open."""
        return self._window

    @property
    def found(self) -> Compared | None:
        """What has been computed of the columns that are on show."""
        return self._found

    def ask_view(self) -> None:
        """Compare what is in view."""
        self._offer()
        scratch = self.session.new_folder()
        try:
            chosen = self.session.choice.now()
            columns = self.form.columns()
            region = chosen.slide.view(self.viewer)
            sent, steps = chosen.slide.handed_over(region, chosen.model.tile_um, scratch)
        except SmoothsalError as error:
            self.session.discard(scratch)
            self.say(str(error), problem=True)
            return
        varied, out = self.form.field, scratch / "compared"

        def request(number: int) -> Compare:
            explain = explain_request(number, chosen, sent, chosen.tiling, region, out, view=True)
            return Compare(
                id=number, explain=explain, varied=varied, values=tuple(columns)
            )  # fmt: skip

        self.say(WAITING if self._asking.must_wait else "Computing the columns ...")
        self.cancel.setEnabled(True)
        self._forget()
        self._found, self._shown = None, Job("view", None, scratch, request, steps, True)
        self._shown.slide = chosen.slide
        self.session.pin(scratch)
        self._open(chosen, list(columns.values())).begin(list(columns.values()), region)
        self._show_progress(0.0)
        self._list(list(columns.values()), None)
        self._asking.begin(self._shown)
        self._enable()

    def show_answer(self, job: Job, answer: Answer) -> None:  # noqa: ARG002 - of one question
        """Show the columns as far as they are."""
        if not isinstance(answer, Compared) or self._window is None:
            return
        self._found = answer
        self._show_progress(answer.share)
        if answer.columns:
            self._window.show_columns(answer)
            self._list(self._names, answer)
        if answer.complete:
            self._conclude(answer)
        elif not answer.columns:
            self.say(f"Computing {answer.tiles} tiles in {len(self._names)} ways ...")
        self._enable()

    def write_figure(self, path: Path) -> None:
        """Have the engine draw the columns into a file."""
        found, job = self._found, self._shown
        if found is None or job is None or not found.columns:
            self.say("compare something first: there are no columns to be saved", problem=True)
            return
        one = self._window is None or self._window.bar.one_scale.isChecked()

        def make(number: int) -> SaveColumns:
            asked = job.make(number)
            assert isinstance(asked, Compare), "it is a comparison"
            return SaveColumns(
                id=number,
                explain=asked.explain,
                stores=tuple(column.picture.store for column in found.columns),
                keys=tuple(column.picture.key for column in found.columns),
                path=str(path.absolute()),
                one_scale=one,
            )

        self.say("Saving ...")
        self.session.pin(job.scratch)
        self._saving[self.session.engine.ask(make)] = job.scratch

    @property
    def _names(self) -> list[str]:
        return [] if self._window is None else self._window.names

    def _open(self, chosen: Chosen, names: Sequence[str]) -> ColumnsWindow:
        window = self._window
        if window is None or not window.fits(chosen.slide, len(names)):
            self._close_window()
            window = self._window = ColumnsWindow(chosen.slide, names)
            window.closed.connect(self._on_closed)
            window.show()
        return window

    def _close_window(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.closed.disconnect(self._on_closed)
            window.close()
            window.deleteLater()

    def _on_closed(self) -> None:
        """The user closed the columns: what is still computed of them is not wanted."""
        window, self._window = self._window, None
        if window is not None:
            window.deleteLater()
        self.live.setChecked(False)
        self.progress.hide()
        if self.busy:
            self._asking.cancel()
        self._forget()
        self._enable()

    def _forget(self) -> None:
        """Nothing can be saved of the columns any more."""
        if self._shown is not None:
            self.session.unpin(self._shown.scratch)
        self._shown = self._found = None

    def _offer(self, _value: Any = None) -> None:
        try:
            chosen = self.session.choice.now()
        except SmoothsalError:
            return  # told when it is asked for
        field, session = self.form.field, self.session
        offered = values_of(
            field, chosen.spec, chosen.model, session.described, session.models
        )  # fmt: skip
        own = chosen.model.model if field == "model" else getattr(chosen.spec, field)
        self.form.offer(offered, own)

    def _on_form(self) -> None:
        self._offer()
        self._last = None  # Live asks again
        self._on_settled()

    def _on_answer(self, job: Job, answer: Answer) -> None:
        super()._on_answer(job, answer)
        if isinstance(answer, Failed | Stopped):
            self._stop()

    def _on_death(self, cause: str) -> None:
        super()._on_death(cause)
        for scratch in self._saving.values():
            self.session.unpin(scratch)
        if self._saving:
            self.say("the figure was not saved: the computing process ended", problem=True)
        self._saving.clear()
        self._stop()

    def _stop(self) -> None:
        """There will be no more of the columns than there is."""
        self.progress.hide()
        if self._window is not None:
            self._window.stop()
        self._enable()

    def _conclude(self, answer: Compared) -> None:
        self.progress.hide()
        if not answer.tiles:
            self.say("No tissue found here: nothing to compare.")
            return
        scale = "" if answer.comparable else f" {answer.own_scales.capitalize()}."
        notes = "".join(f" Note: {text}." for text in answer.warnings)
        self.say(f"Done: {answer.tiles} tiles.{scale}{notes}")

    def _blink(self) -> None:
        if self._window is not None:
            self._window.bar.show_next()
            self._window.raise_()

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the columns", "compared.png")
        if path:
            self.write_figure(Path(path))

    def _on_saved(self, answer: Answer) -> None:
        if isinstance(answer, Saved | Failed) and answer.id in self._saving:
            self.session.unpin(self._saving.pop(answer.id))
            if isinstance(answer, Saved):
                self.say("Saved: " + ", ".join(answer.names))
            else:
                self.say(answer.message, problem=True)

    def _show_progress(self, share: float) -> None:
        self.progress.setRange(0, 100 if share else 0)
        self.progress.setValue(round(100 * share))
        self.progress.show()

    def _list(self, names: Sequence[str], found: Compared | None) -> None:
        """Figures of each column, as far as they are."""
        told = [] if found is None else list(found.columns)
        self.table.setRowCount(len(names))
        for row, name in enumerate(names):
            one = told[row] if row < len(told) else None
            rough = None if one is None else one.total_variation
            error = None if one is None else one.standard_error
            words = (
                name,
                "" if rough is None else f"{rough:.2f}",
                "" if error is None else f"{100 * error:.0f} %",
            )
            for place, text in enumerate(words):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, place, item)

    def _enable(self) -> None:
        there = self._found is not None and bool(self._found.columns)
        self.blink.setEnabled(there and self._window is not None)
        self.save_figure.setEnabled(there)
