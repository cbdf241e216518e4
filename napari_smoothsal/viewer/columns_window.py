"""ColumnsWindow: two to four maps of one place beside each other, or one in place of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.qt import get_current_stylesheet
from qtpy.QtCore import QEvent, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QCloseEvent, QKeyEvent, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_smoothsal.viewer.colour_bar import ColourBar
from napari_smoothsal.viewer.columns_bar import ColumnsBar
from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.linked_views import LinkedViews
from napari_smoothsal.viewer.map_column import MapColumn
from napari_smoothsal.viewer.requests import ExplainedSlide
from napari_smoothsal.viewer.told_columns import Column, Compared
from napari_smoothsal.viewer.ways import TINT

COLUMN_PX, HEIGHT_PX = 460, 640
COMPUTING = "computing ..."


class ColumnsWindow(QWidget):
    """A window of its own: the viewer is as it was, while it is open and when it is closed.

    Parameters
    ----------
    slide
        What lies under the maps.
    names
        Of the columns.

    Signals
    -------
    closed()
        The user closed it.
    """

    closed = Signal()

    names: list[str]

    def __init__(self, slide: ExplainedSlide, names: Sequence[str]) -> None:
        # No child of the dock's: Qt would have taken its canvases away before the dock ends.
        super().__init__(None, Qt.WindowType.Window)
        self.setStyleSheet(get_current_stylesheet())
        self.slide = slide
        self._told: Compared | None = None
        self._marked: dict[str, None] = {}
        self._region: Region | None = None
        self._ended = False
        self.bar = ColumnsBar()
        self.legend = ColourBar()
        self.columns = [MapColumn(slide) for _ in names]
        self._links = LinkedViews()
        for column in self.columns:
            self._links.add(column.model)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.bar)
        beside = QHBoxLayout()
        beside.setSpacing(4)
        for column in self.columns:
            beside.addWidget(column, 1)
        layout.addLayout(beside, 1)
        layout.addWidget(self.legend)
        self.bar.chosen.connect(self._show_one)
        self.bar.scaled.connect(self._apply_scale)
        self.resize(COLUMN_PX * len(names), HEIGHT_PX)
        self.begin(names)

    def fits(self, slide: ExplainedSlide, count: int) -> bool:
        """Whether so many columns of a slide can be shown here."""
        ids = self.slide.layer.unique_id, slide.layer.unique_id
        same = ids[0] == ids[1] and self.slide.mpp == slide.mpp
        return same and count == len(self.columns) and not self._ended

    def begin(self, names: Sequence[str], region: Region | None = None) -> None:
        """Show columns of these names, which are still to be computed, and the place they are of.

        Parameters
        ----------
        names
            Of the columns.
        region
            (x, y, w, h) in level-0 px; None: stay where it is.
        """
        self.setWindowTitle("Compared: " + ", ".join(names))
        self.names, self._told = list(names), None
        self.bar.name(names)
        for column, name in zip(self.columns, names, strict=True):
            column.forget_maps()
            column.head(name, "")
            column.foot.setText(COMPUTING)
        if region is not None and region != self._region:
            self._region = region
            QTimer.singleShot(0, self._look)

    def show_columns(self, told: Compared) -> None:
        """Show the columns as far as they are."""
        self._told, self._marked = told, {}
        for number, (column, one) in enumerate(zip(self.columns, told.columns, strict=False)):
            column.put(number, one.picture, complete=told.complete)
            self._mark(column, number, one)
            column.foot.setText(figures_in_words(one))
        for column in self.columns[len(told.columns) :]:
            column.foot.setText("" if told.complete else COMPUTING)
        self.bar.compare_scales(told.comparable, told.own_scales)
        self._apply_scale()
        self._show_one(self.bar.at)
        if told.complete:
            QTimer.singleShot(0, self._lend_all)

    def stop(self) -> None:
        """Nothing more is computed."""
        for column in self.columns:
            if column.foot.text() == COMPUTING:
                column.foot.setText("not computed")

    def end(self) -> None:
        """Give canvases and links back; once."""
        if not self._ended:
            self._ended = True
            self._links.clear()
            for column in self.columns:
                column.end()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """The user, or the dock, closes it."""
        ended = self._ended
        self.end()
        super().closeEvent(event)
        if not ended:
            self.closed.emit()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Look at the place once the canvases have their sizes."""
        super().showEvent(event)
        QTimer.singleShot(0, self._look)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """B, space and digits choose a column."""
        if event is not None and not event.isAutoRepeat() and self.bar.press(event.key()):
            return
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Space goes back to what was shown before."""
        if event is not None and not event.isAutoRepeat():
            self.bar.release(event.key())
        super().keyReleaseEvent(event)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Left with a key down, it does not hear of its release."""
        super().changeEvent(event)
        changed = event is not None and event.type() == QEvent.Type.ActivationChange
        if changed and not self.isActiveWindow():
            self.bar.release(Qt.Key.Key_Space)

    def _look(self) -> None:
        if self._region is None or self._ended:
            return
        x, y, w, h = self._region
        # A pixel reaches half a pixel around its centre.
        start = self.slide.world((y - 0.5, x - 0.5))
        self._links.look_at(start, self.slide.world((y + h - 0.5, x + w - 0.5)))

    def _show_one(self, number: int | None) -> None:
        """One map takes the first column's place, so that nothing but the map changes."""
        if self._ended:
            return
        first = self.columns[0]
        shown = 0 if number is None else number
        if self._told is not None and shown < len(self._told.columns):
            if shown:
                source = self.columns[shown].maps.get(shown)
                if source is not None:
                    self._lend(shown, source)
            first.show_map(shown)
        else:
            first.forget_maps()
        for other, column in enumerate(self.columns[1:], 1):
            column.setVisible(number is None)
            if number is None and self._told is not None and other < len(self._told.columns):
                column.show_map(other)
        self._write_heads(shown)

    def _lend(self, number: int, source: Any) -> None:
        """Another column's map to the first one; its pixels are shared."""
        assert self._told is not None, "there are maps"
        lent = self.columns[0].maps.get(number)
        if lent is None or lent.data is not source.data:
            one = self._told.columns[number]
            self.columns[0].put_pixels(number, source.data, one.picture)
            self._mark(self.columns[0], number, one)
            self._apply_scale()

    def _lend_all(self) -> None:
        """Beforehand: napari takes longer to add a layer than to show one."""
        if self._ended or self._told is None:
            return
        for number in range(1, len(self._told.columns)):
            source = self.columns[number].maps.get(number)
            if source is not None:
                self._lend(number, source)
        self._show_one(self.bar.at)

    def _mark(self, column: MapColumn, number: int, one: Column) -> None:
        states = None if one.states is None else one.states.unpacked()
        self._marked |= dict.fromkeys(column.mark(number, one.picture, states))

    def _write_heads(self, first: int) -> None:
        told = [] if self._told is None else list(self._told.columns)
        for place, column in enumerate(self.columns):
            number = first if place == 0 else place
            title = told[number].picture.title if number < len(told) else ""
            column.head(self.names[number], title)
            if number < len(told):
                column.foot.setText(figures_in_words(told[number]))

    def _apply_scale(self) -> None:
        told = self._told
        if told is None or not told.columns or self._ended:
            return
        one = self.bar.one_scale.isChecked() and told.comparable
        for number, shown in enumerate(told.columns):
            limit = (told.shared if one else shown.picture.limit) * self.bar.factor
            self.columns[number].set_limit(number, limit)
            self.columns[0].set_limit(number, limit)
        self._write_legend(told, told.scale if one else told.own_scales)

    def _write_legend(self, told: Compared, scale: str) -> None:
        pictures = [one.picture for one in told.columns]
        first = pictures[0]
        alike = len({picture.legend for picture in pictures}) == 1
        ends = first.legend if alike else ("+ (see above each map)", "\u2212 (see above each map)")
        factor = self.bar.factor
        times = "" if factor == 1 else f", times {factor:.2g}"
        self.legend.show_legend(ends, first.palette, TINT, scale + times, *self._marked)


def figures_in_words(one: Column) -> str:
    """What is written under a map."""
    if one.total_variation is None:
        return "no tissue here"
    said = f"total variation {one.total_variation:.2f}"
    if one.standard_error is not None:
        said += f", standard error {100 * one.standard_error:.0f} %"
    return said
