"""Saving: keeps what was explained last, when asked to."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_smoothsal.render.limits import ColourLimit
from napari_smoothsal.viewer.asked import Explain, Save
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.session import Session
from napari_smoothsal.viewer.told import Answer, Failed, Saved


class Saving(QObject):
    """Asks the engine to write store, figure and masks, beside whatever else is asked of it.

    Parameters
    ----------
    session
        Its engine and folders.

    Signals
    -------
    saved(str), failed(str)
        What became of it, in words.
    """

    saved = Signal(str)
    failed = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._last: tuple[Explain, MapPicture, Path] | None = None
        self._asked: dict[int, Path] = {}

    def remember(self, explain: Explain, picture: MapPicture, scratch: Path) -> None:
        """Something was explained: it is what will be saved.

        Parameters
        ----------
        explain, picture
            What was asked, and the map.
        scratch
            The folder that a view's store lies in.
        """
        self._last = (explain, picture, scratch)

    def ask(self, folder: Path, *, stretched: bool = False, calibrated: bool = True) -> None:
        """Save it, with the limits that are chosen."""
        if self._last is None:
            self.failed.emit("explain something first: nothing is there to be saved")
            return
        explain, picture, scratch = self._last
        limit = ColourLimit(picture.limit, picture.limit_of)
        if stretched:
            limit = ColourLimit(picture.stretched, "this map")

        def make(number: int) -> Save:
            return Save(
                id=number,
                explain=explain,
                store=picture.store,
                folder=str(folder.absolute()),
                limit=limit.value,
                limit_of=limit.of,
                calibrated=calibrated,
            )

        self._session.pin(scratch)
        self._asked[self._session.engine.ask(make)] = scratch

    def hear(self, answer: Answer) -> bool:
        """Take an answer of the engine; whether it was about this."""
        if not isinstance(answer, Saved | Failed) or answer.id not in self._asked:
            return False
        self._session.unpin(self._asked.pop(answer.id))
        if isinstance(answer, Saved):
            self.saved.emit("Saved: " + ", ".join(answer.names))
        else:
            self.failed.emit(answer.message)
        return True

    def forget(self) -> None:
        """The engine has died: nothing will come any more."""
        for scratch in self._asked.values():
            self._session.unpin(scratch)
        if self._asked:
            self.failed.emit("the map was not saved: the computing process ended")
        self._asked.clear()
