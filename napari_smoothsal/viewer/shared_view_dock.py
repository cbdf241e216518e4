"""The Shared view dock: what is seen as a file or a link, and to what somebody else has seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.viewer.leaving import LeavingDock
from napari_smoothsal.viewer.measuring_dock import row_of
from napari_smoothsal.viewer.run_bar import PROBLEM, sentence
from napari_smoothsal.viewer.view_sharing import Opened, bring_to, seen_in, settings_in_words

if TYPE_CHECKING:
    import napari

    from napari_smoothsal.runs.shared_view import SharedView

ABOUT = (
    "Place, zoom, maps, limits and settings as a small file or a link, for somebody who has the "
    "same slide. It names no file and no person."
)


class SharedViewDock(LeavingDock):
    """The dock.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self.save = QPushButton("Save view ...")
        self.save.setToolTip("A file that File > Open takes, too.")
        self.copy = QPushButton("Copy link")
        self.copy.setToolTip("The same as one line of text, for a mail.")
        self.open = QPushButton("Open view ...")
        self.open.setToolTip("Open the slide first: a view brings no pixels.")
        self.link = QLineEdit()
        self.link.setPlaceholderText("paste a link: smoothsal-view:...")
        self.go = QPushButton("Go there")
        self.status_line = QLabel(ABOUT)
        self.status_line.setWordWrap(True)
        self.status_line.setTextFormat(Qt.TextFormat.PlainText)  # files of others are quoted in it
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(row_of(self.save, self.copy))
        layout.addWidget(self.open)
        layout.addWidget(self.link)
        layout.addWidget(self.go)
        layout.addWidget(self.status_line)
        layout.addStretch(1)
        self.put_into_a_scroll_area(content)
        self.save.clicked.connect(self._ask_where)
        self.copy.clicked.connect(self.copy_link)
        self.open.clicked.connect(self._ask_which)
        self.go.clicked.connect(self.open_link)
        self.link.returnPressed.connect(self.open_link)

    @property
    def status(self) -> str:
        """What is said."""
        return str(self.status_line.text())

    def write(self, path: Path) -> None:
        """Save what is seen."""
        from napari_smoothsal.runs.shared_view import write_shared_view

        try:
            view = seen_in(self.viewer, self.session.choice)
            write_shared_view(path, view)
        except SmoothsalError as error:
            self.say(str(error), problem=True)
            return
        self.say(f"Saved {path.name}: {_in_words(view)}.")

    def copy_link(self) -> None:
        """Put what is seen into the clipboard."""
        from napari_smoothsal.runs.shared_view import view_as_link

        try:
            view = seen_in(self.viewer, self.session.choice)
        except SmoothsalError as error:
            self.say(str(error), problem=True)
            return
        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(view_as_link(view))
        self.say(f"Copied: {_in_words(view)}.")

    def read(self, path: Path) -> None:
        """Go to the view in a file."""
        from napari_smoothsal.runs.shared_view import read_shared_view

        try:
            self._go_to(read_shared_view(path))
        except SmoothsalError as error:
            self.say(str(error), problem=True)

    def open_link(self) -> None:
        """Go to the view in the line."""
        from napari_smoothsal.runs.shared_view import view_of_link

        try:
            self._go_to(view_of_link(self.link.text()))
        except SmoothsalError as error:
            self.say(str(error), problem=True)

    def say(self, text: str, *, problem: bool = False) -> None:
        """Say how things stand."""
        self.status_line.setStyleSheet(PROBLEM if problem else "")
        self.status_line.setText(sentence(text))

    def _go_to(self, view: SharedView) -> None:
        opened = bring_to(self.viewer, view, self.session.choice)
        self.say(outcome_in_words(opened), problem=bool(opened.notes))

    def _ask_where(self) -> None:
        from napari_smoothsal.runs.shared_view import VIEW_SUFFIX

        path, _ = QFileDialog.getSaveFileName(
            self, "Save the view", f"view{VIEW_SUFFIX}", f"View (*{VIEW_SUFFIX})"
        )
        if path:
            name = path if path.endswith(VIEW_SUFFIX) else path + VIEW_SUFFIX
            self.write(Path(name))

    def _ask_which(self) -> None:
        from napari_smoothsal.runs.shared_view import VIEW_SUFFIX

        path, _ = QFileDialog.getOpenFileName(self, "Open a view", "", f"View (*{VIEW_SUFFIX})")
        if path:
            self.read(Path(path))


def outcome_in_words(opened: Opened) -> str:
    """What has come of a view that was opened."""
    said = ["This is the place of the view."]
    if opened.missing:
        lacks = f"Not open here: {'; '.join(opened.missing)}."
        how = " Explain view computes it: the settings are entered." if opened.explainable else ""
        said.append(lacks + how)
    said += [sentence(note) for note in opened.notes]
    return " ".join(said)


def _in_words(view: SharedView) -> str:
    maps = sum(one.visible for one in view.maps)
    shown = f"{view.size_um[1]:.0f} x {view.size_um[0]:.0f} um, {maps} visible maps"
    return shown + (f", {settings_in_words(view.settings)}" if view.settings else "")
