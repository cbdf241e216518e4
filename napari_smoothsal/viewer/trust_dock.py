"""The Trust dock: the trust card of what is in view, and the limits that its maps are shown by."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.render.words import plain
from napari_smoothsal.viewer.asked import Calibrate, Trust
from napari_smoothsal.viewer.asking import Job
from napari_smoothsal.viewer.calibration_panel import CalibrationPanel
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.field_of_view import look_at
from napari_smoothsal.viewer.measuring_dock import Made, MeasuringDock, row_of
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.run_bar import time_in_words
from napari_smoothsal.viewer.saved_picture import save_picture
from napari_smoothsal.viewer.told import Answer, Finished, Grown, Progressed
from napari_smoothsal.viewer.told_trust import Calibrated, TrustTold
from napari_smoothsal.viewer.trust_curves import TrustCurves
from napari_smoothsal.viewer.trust_table import TrustTable

if TYPE_CHECKING:
    import napari

ABOUT = (
    "Does the map follow the model? A few tiles of the view are tested. Whether the model is "
    "right, no test here says."
)
OTHER = "<b>Of another view, or of earlier settings: test again.</b>"


class TrustDock(MeasuringDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, ABOUT, "", parent)
        self._slide: ExplainedSlide | None = None
        self._told: TrustTold | None = None
        self._key: object = None
        self._of = ""
        self.test = QPushButton("Test this view")
        self.test.setToolTip(
            "Insertion and deletion, randomisation, stability and standard error of maps of this "
            "view, as they are set in the Saliency dock: a minute or so."
        )
        self.progress = QProgressBar()
        self.progress.hide()
        self.shown = QWidget()
        self.verdict, self._about, self._stale = QLabel(), QLabel(), QLabel(OTHER)
        for label in (self.verdict, self._about, self._stale):
            label.setWordWrap(True)
        self.curves, self.table = TrustCurves(), TrustTable()
        self.save_table = QPushButton("Save CSV ...")
        self.save_picture = QPushButton("Save PNG ...")
        self.limits = CalibrationPanel(viewer)
        inside = QVBoxLayout(self.shown)
        inside.setContentsMargins(0, 0, 0, 0)
        for part in (self.verdict, self._about, self.curves, self.table):
            inside.addWidget(part)
        self.shown.hide()
        self._stale.hide()
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(row_of(self.test, self.cancel))
        layout.addWidget(self.progress)
        layout.addWidget(self.status_line)
        layout.addWidget(self._stale)
        layout.addWidget(self.shown)
        layout.addLayout(row_of(self.save_table, self.save_picture))
        layout.addWidget(self.limits)
        layout.addStretch(1)
        self.put_into_a_scroll_area(content)
        self._enable()
        self.test.clicked.connect(self.ask_view)
        self.table.tile_chosen.connect(self.fly)
        self.save_table.clicked.connect(self._ask_where_table)
        self.save_picture.clicked.connect(self._ask_where_picture)
        self.limits.calibrate.clicked.connect(self.calibrate)
        self.limits.changed.connect(self._on_removed)
        self.limits.refused.connect(lambda why: self.say(why, problem=True))
        self.hear(self.session.choice.settled, self._compare)
        self.hear(self.session.choice.settled, self.limits.look_soon)
        self.hear(self.session.engine.answered, self._look_at_map)
        for event in (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.selection.events.active,
        ):
            self.hear(event, self.limits.look_soon)

    @property
    def told(self) -> TrustTold | None:
        """The card on show, as far as it is."""
        return self._told

    @property
    def stale(self) -> bool:
        """Whether the card on show is of another view, or of other settings."""
        return not self._stale.isHidden()

    def ask_view(self) -> None:
        """Test maps of what is in view."""

        def make(chosen: Chosen) -> Made:
            self._slide = chosen.slide
            self._of = f"{plain(chosen.model.name)}, {_words_of(chosen)}"
            return "view", lambda explain: Trust(id=explain.id, explain=explain)

        self._key = self._key_now()
        self.ask(make, "Choosing tiles of this view ...")
        self._begin()

    def calibrate(self) -> None:
        """Measure the limits of maps in what is drawn."""
        rate = self.limits.error_rate

        def make(_chosen: Chosen) -> Made:
            return "region", lambda explain: Calibrate(
                id=explain.id, explain=explain, error_rate=rate
            )

        self.ask(make, "Reading normal tissue ...", view=False, drawn=True)
        self._begin()

    def show_answer(self, job: Job, answer: Answer) -> None:
        """Show how far it is, what is known of the card, or what was calibrated."""
        if isinstance(answer, Progressed):
            self._show_progress(answer)
        elif isinstance(answer, TrustTold):
            self._show_card(job.what, answer)
        elif isinstance(answer, Calibrated):
            found = answer.calibration
            self.limits.list_kept()
            self.session.choice.limits_changed.emit()
            self.say(
                f"Calibrated on {found.tiles} tiles, {found.tissue}, at an error rate of "
                f"{100 * found.error_rate:g} %: maps of {found.target} with these settings are "
                "shown by it from now on. Explain again to see it."
            )

    def fly(self, tile: int) -> None:
        """Look at a tile of the card."""
        slide, told = self._slide, self._told
        if told is None or slide is None or tile >= len(told.boxes):
            return
        if slide.layer not in self.viewer.layers:
            self.say("the slide of these tiles is not open any more", problem=True)
            return
        x, y, w, h = told.boxes[tile]
        look_at(self.viewer, slide.world((y, x)), slide.world((y + h, x + w)))

    def write_table(self, path: Path) -> None:
        """Write the table as CSV."""
        self.table.write(path)

    def write_picture(self, path: Path) -> None:
        """Write verdict, curves and table as PNG."""
        save_picture(self.shown, path)

    def _show_progress(self, news: Progressed) -> None:
        self.progress.setRange(0, max(1, news.total))
        self.progress.setValue(news.done)
        left = ""
        if news.seconds_left is not None:
            left = f", about {time_in_words(news.seconds_left)} left"
        self.say(f"{news.stage}{left}")

    def _show_card(self, what: str, told: TrustTold) -> None:
        self._told = told
        if told.complete:
            done = "Stopped." if told.stopped else "Done."
            known = f"A click on a tile of this {what} flies there." if told.boxes else told.verdict
            self.say(f"{done} {known}")
        self.shown.setVisible(bool(told.boxes))
        first, _, rest = escape(told.verdict).partition(". ")
        self.verdict.setText(f"<b>{first}.</b> {rest}" if rest else f"<b>{first}</b>")
        self._about.setText(escape(f"{self._of}. Tested: {told.about}."))
        self.curves.show_told(told)
        self.table.show_told(told)
        self._stale.hide()
        self._compare()
        self._enable()

    def _begin(self) -> None:
        self.progress.setRange(0, 0)
        self.progress.setVisible(self.busy)

    def _on_answer(self, job: Job, answer: Answer) -> None:
        super()._on_answer(job, answer)
        self.progress.setVisible(self.busy)

    def _on_death(self, cause: str) -> None:
        super()._on_death(cause)
        self.progress.hide()

    def _on_removed(self) -> None:
        self.session.choice.limits_changed.emit()
        self.say("Removed: maps are shown by the limits of before. Explain again to see it.")

    def _look_at_map(self, answer: Answer) -> None:
        if isinstance(answer, Finished | Grown):
            self.limits.look_soon()

    def _key_now(self) -> object:
        try:
            return self.session.choice.key(self.viewer)
        except SmoothsalError:
            return None

    def _compare(self, _value: Any = None) -> None:
        """Whether the card on show is of what is in view."""
        there = self._told is not None and bool(self._told.boxes)
        self._stale.setVisible(there and not self.busy and self._key_now() != self._key)

    def _enable(self) -> None:
        there = self._told is not None and bool(self._told.tests)
        for button in (self.save_table, self.save_picture):
            button.setEnabled(there)

    def _ask_where_table(self) -> None:
        self.save("Save the tests", "trust.csv", self.write_table)

    def _ask_where_picture(self) -> None:
        self.save("Save the card", "trust.png", self.write_picture)


def _words_of(chosen: Chosen) -> str:
    spec = chosen.spec
    return f"{spec.layer_label}, {plain(spec.method_label)}, {plain(spec.denoising_label)}"
