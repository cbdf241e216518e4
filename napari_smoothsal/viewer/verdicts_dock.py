"""The Verdicts dock: hotspots of a kept map, and what somebody says of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.asked import FindHotspots
from napari_smoothsal.viewer.asking import WAITING, Asking, Job
from napari_smoothsal.viewer.field_of_view import look_at
from napari_smoothsal.viewer.kept_maps import KeptMap, KeptMaps
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.measuring_dock import row_of
from napari_smoothsal.viewer.pointed_places import NextClick, drawn_places
from napari_smoothsal.viewer.requests import NotExplainableError
from napari_smoothsal.viewer.run_bar import PROBLEM, sentence
from napari_smoothsal.viewer.slide_on_show import pixels_at
from napari_smoothsal.viewer.told import Answer, Failed, HotspotsFound
from napari_smoothsal.viewer.verdict_outlines import VerdictOutlines
from napari_smoothsal.viewer.verdict_table import Place, VerdictTable
from napari_smoothsal.viewer.verdict_words import (
    NO_MAP,
    SAID,
    TOOLTIPS,
    found_in_words,
    kept_in_words,
)

if TYPE_CHECKING:
    import napari

    from napari_smoothsal.runs.verdicts import Said, Verdicts

LEAST_UM = 100.0
"""A place is shown with so much around it, however small it is."""


class VerdictsDock(LeavingDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._map: KeptMap | None = None
        self._verdicts: Verdicts | None = None
        self._found: list[Place] = []
        self.maps = KeptMaps(viewer)
        self.percentile = QDoubleSpinBox()
        self.percentile.setPrefix("above percentile ")
        self.percentile.setRange(0.0, 99.99)
        self.percentile.setDecimals(2)
        self.percentile.setValue(99.0)
        self.search = QPushButton("Find hotspots")
        self.cancel = QPushButton("Cancel")
        self.cancel.setEnabled(False)
        self.point = QPushButton("Point at a place")
        self.point.setCheckable(True)
        self.drawn = QPushButton("Take what is drawn")
        self.table = VerdictTable()
        self.note = QLineEdit()
        self.note.setPlaceholderText("a note on the chosen place; write no names")
        self.note.setMaxLength(2000)
        self.said = {said: QPushButton(said.capitalize()) for said in SAID}
        for said, button in self.said.items():
            button.setToolTip(SAID[said])
        self.remove = QPushButton("Remove")
        self.export = QPushButton("Export ...")
        for name, text in TOOLTIPS.items():
            getattr(self, name).setToolTip(text)
        self.status_line = QLabel(NO_MAP)
        self.status_line.setWordWrap(True)
        self.status_line.setTextFormat(Qt.TextFormat.PlainText)
        self._lay_out()
        self._outlines = VerdictOutlines(viewer)
        self._click = NextClick(viewer, self._on_pointed)
        self._asking = Asking(self.session, self)
        self._asking.told.connect(self._on_answer)
        self._asking.ended.connect(self._on_answer)
        self.cancel.clicked.connect(self._asking.cancel)
        self.search.clicked.connect(self.find_hotspots)
        self.point.toggled.connect(self._click.await_it)
        self.drawn.clicked.connect(self.take_drawn)
        for said, button in self.said.items():
            button.clicked.connect(partial(self.judge, said))
        self.note.returnPressed.connect(self._on_note)
        self.remove.clicked.connect(self.take_back)
        self.export.clicked.connect(self._ask_where)
        self.table.chosen.connect(self._on_chosen)
        self.maps.chosen.connect(self._on_map)
        self.at_end(self._outlines.remove)
        self.at_end(partial(self._click.await_it, False))
        self.at_end(self.maps.disconnect_viewer)
        self.at_end(self._asking.abandon)
        self.hear(self.session.engine.answered, self._asking.hear)
        self.hear(self.session.engine.died, self._on_death)
        self._on_map()

    @property
    def busy(self) -> bool:
        """Whether it waits for an answer."""
        return self._asking.job is not None

    @property
    def status(self) -> str:
        """What is said."""
        return str(self.status_line.text())

    def find_hotspots(self) -> None:
        """List the regions above the percentile."""
        self._ask("Looking for hotspots ...")

    def take_drawn(self) -> None:
        """Add what is drawn."""
        if self._map is not None:
            try:
                places = drawn_places(self.viewer, self._map.slide(self.viewer))
            except NotExplainableError as error:
                self.say(str(error), problem=True)
                return
            self._ask("Reading the map there ...", drawn=places)

    def judge(self, said: Said, _checked: bool = False) -> None:
        """Say something of the chosen place."""
        from napari_smoothsal.runs.verdicts import add_verdict, change_verdict

        self.maps.list_maps()  # a layer may show another map by now
        place, shown = self.table.place, self._map
        if place is None or shown is None:
            self.say("choose a place in the list first", problem=True)
            return
        note = self.note.text().strip()
        try:
            if place.verdict is not None:
                change_verdict(shown.run, place.verdict.id, said, note)
                chosen = place.verdict.id
            else:
                chosen = add_verdict(shown.run, shown.key, place.hotspot, said, note).id
                self._found = [one for one in self._found if one is not place]
        except SmoothsalError as error:
            self.say(str(error), problem=True)
            return
        self._read(chosen)

    def take_back(self) -> None:
        """Remove the chosen verdict, or the chosen place that nobody has judged."""
        from napari_smoothsal.runs.verdicts import remove_verdict

        place, shown = self.table.place, self._map
        if place is None or shown is None:
            self.say("choose a place in the list first", problem=True)
            return
        self._found = [one for one in self._found if one is not place]
        if place.verdict is not None:
            try:
                remove_verdict(shown.run, place.verdict.id)
            except SmoothsalError as error:
                self.say(str(error), problem=True)
                return
        self._read()

    def write(self, path: Path) -> None:
        """Export the verdicts."""
        from napari_smoothsal.runs.verdicts import export_verdicts

        if self._verdicts is None:
            return
        try:
            export_verdicts(self._verdicts, path)
        except SmoothsalError as error:
            self.say(str(error), problem=True)
            return
        self.say(f"Exported {len(self._verdicts.verdicts)} verdicts to {path.name}.")

    def say(self, text: str, *, problem: bool = False) -> None:
        """Say how things stand."""
        self.status_line.setStyleSheet(PROBLEM if problem else "")
        self.status_line.setText(sentence(text))

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addWidget(self.maps)
        layout.addWidget(self.percentile)
        layout.addLayout(row_of(self.search, self.cancel))
        layout.addLayout(row_of(self.point, self.drawn))
        layout.addWidget(self.table)
        layout.addWidget(self.note)
        layout.addLayout(row_of(*self.said.values()))
        layout.addLayout(row_of(self.remove, self.export))
        layout.addWidget(self.status_line)
        self.put_into_a_scroll_area(content)

    def _ask(self, saying: str, **about: Any) -> None:
        self.maps.list_maps()  # a layer may show another map by now
        shown = self._map
        if shown is None:
            self.say(NO_MAP, problem=True)
            return
        percentile = self.percentile.value()

        def request(number: int) -> FindHotspots:
            store, key = str(shown.run.path), shown.key
            return FindHotspots(id=number, store=store, key=key, percentile=percentile, **about)

        self.say(WAITING if self._asking.must_wait else saying)
        self.cancel.setEnabled(True)
        added = "" if not about else shown.key
        scratch = self.session.new_folder()
        self._asking.begin(Job(added, None, scratch, request, iter(())))

    def _on_pointed(self, world: tuple[float, float]) -> None:
        self.point.setChecked(False)
        if self._map is not None:
            ((x, y),) = pixels_at(self._map.slide(self.viewer), np.array([world])).tolist()
            self._ask("Reading the map there ...", at=(x, y))

    def _on_answer(self, job: Job, answer: Answer) -> None:
        self.cancel.setEnabled(self.busy)
        if isinstance(answer, Failed):
            self.say(answer.message, problem=True)
        elif isinstance(answer, HotspotsFound) and self._map is not None:
            self._add(answer.hotspots, all_anew=not job.what)
        else:
            self.say("Stopped.")

    def _add(self, spots: tuple[Any, ...], *, all_anew: bool) -> None:
        """Places that were found; those of a whole map take the place of the ones before."""
        shown = self._map
        assert shown is not None, "they are of a map"
        target = shown.run.maps[shown.key].target
        known = [one.hotspot.polygons for one in self._judged()]
        new = [Place(spot, target) for spot in spots if spot.polygons not in known]
        self._found = new if all_anew else [*self._found, *new]
        count = len(self._judged())
        self._show(count + len(self._found) - 1 if new and not all_anew else -1)
        self.say(found_in_words(len(spots), len(spots) - len(new)))

    def _judged(self) -> list[Place]:
        said = self._verdicts.verdicts if self._verdicts is not None else ()
        shown = self._map
        assert shown is not None, "there is a map"
        return [Place(one.hotspot, one.class_name, one) for one in said if one.map == shown.key]

    def _on_map(self) -> None:
        self._asking.abandon()
        self.cancel.setEnabled(False)
        self._map, self._verdicts, self._found = None, None, []
        try:
            self._map = self.maps.map()
        except (SmoothsalError, OSError) as error:
            self.say(str(error), problem=True)
        there = self._map is not None
        for button in (self.search, self.point, self.drawn, self.remove):
            button.setEnabled(there)
        for button in self.said.values():
            button.setEnabled(there)
        self.export.setEnabled(False)
        if there:
            self._read()
        else:
            self.point.setChecked(False)
            self.table.show_places(())
            self._outlines.clear()
            if not self.maps.count():
                self.say(NO_MAP)

    def _read(self, chosen: str = "") -> None:
        """Read the file beside the store again, and show what it says."""
        from napari_smoothsal.runs.verdicts import read_verdicts, verdicts_path

        shown = self._map
        assert shown is not None, "it is chosen"
        try:
            self._verdicts = read_verdicts(shown.run)
        except SmoothsalError as error:
            self._verdicts = None
            self._show(-1)
            self.say(str(error), problem=True)
            return
        ids = [one.verdict.id for one in self._judged() if one.verdict is not None]
        self._show(ids.index(chosen) if chosen in ids else -1)
        count = len(self._verdicts.verdicts)
        self.export.setEnabled(count > 0)
        file = verdicts_path(shown.run.path).name
        self.say(kept_in_words(count, file))

    def _show(self, chosen: int) -> None:
        assert self._map is not None, "it is chosen"
        places = [*self._judged(), *self._found]
        self.table.show_places(places, chosen)
        self._outlines.show(places, self._map.slide(self.viewer))
        if chosen >= 0:
            verdict = places[chosen].verdict
            self.note.setText(verdict.note if verdict is not None else "")

    def _on_chosen(self, place: Place) -> None:
        self.note.setText(place.verdict.note if place.verdict is not None else "")
        shown = self._map
        if shown is None or shown.layer not in self.viewer.layers:
            return
        slide = shown.slide(self.viewer)
        x, y, w, h = place.hotspot.box
        spare_y, spare_x = (
            max(0.0, LEAST_UM / um - size) / 2 for um, size in zip(slide.mpp, (h, w), strict=True)
        )
        y, x = y - 0.5, x - 0.5  # the centre of pixel 0 is at 0 in napari
        start = slide.world((y - spare_y, x - spare_x))
        look_at(self.viewer, start, slide.world((y + h + spare_y, x + w + spare_x)))

    def _on_note(self) -> None:
        place = self.table.place
        if place is not None and place.verdict is not None:
            self.judge(place.verdict.said)

    def _ask_where(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(
            self, "Export the verdicts", "verdicts.geojson", "GeoJSON (*.geojson);;Table (*.csv)"
        )
        if path:
            ending = ".csv" if "csv" in chosen else ".geojson"
            self.write(Path(path) if Path(path).suffix else Path(path + ending))

    def _on_death(self, cause: str) -> None:
        if self._asking.forget() is not None:
            self.cancel.setEnabled(False)
            self.say(cause, problem=True)
