"""Saving: keeps what was explained last, when asked to."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_smoothsal.viewer.asked import Explain, Save
from napari_smoothsal.viewer.engine import EngineProcess
from napari_smoothsal.viewer.told import Answer, Failed, Saved


class Saving(QObject):
    """Asks the engine to write store, figure and masks, beside whatever else is asked of it.

    Parameters
    ----------
    engine
        Of the session.

    Signals
    -------
    saved(str), failed(str)
        What became of it, in words.
    """

    saved = Signal(str)
    failed = Signal(str)

    def __init__(self, engine: EngineProcess, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._last: tuple[Explain, str] | None = None
        self._asked: set[int] = set()

    def remember(self, explain: Explain, store: str) -> None:
        """Something was explained: it is what will be saved."""
        self._last = (explain, store)

    def ask(self, folder: Path) -> None:
        """Save it."""
        if self._last is None:
            self.failed.emit("explain something first: nothing is there to be saved")
            return
        explain, store = self._last

        def make(number: int) -> Save:
            return Save(id=number, explain=explain, store=store, folder=str(folder.absolute()))

        self._asked.add(self._engine.ask(make))

    def hear(self, answer: Answer) -> bool:
        """Take an answer of the engine; whether it was about this."""
        if not isinstance(answer, Saved | Failed) or answer.id not in self._asked:
            return False
        self._asked.remove(answer.id)
        if isinstance(answer, Saved):
            self.saved.emit("Saved: " + ", ".join(answer.names))
        else:
            self.failed.emit(answer.message)
        return True
