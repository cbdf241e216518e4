"""Session: what the docks of one viewer share: the engine and a place for temporary files."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import Counter
from importlib import import_module
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from napari_smoothsal.viewer.choice import Choice
from napari_smoothsal.viewer.engine import EngineProcess
from napari_smoothsal.viewer.offered import Described, ModelDescribed
from napari_smoothsal.viewer.told import Answer, Ready


class Session:
    """An engine, what is chosen, and a temporary folder; ended when the last dock has left.

    Attributes
    ----------
    engine, choice
        What the docks share.
    computing
        Each dock's `Asking`: the engine does one thing at a time.
    described, models
        What the engine has told of what can be chosen, and of each model that was.
    """

    def __init__(self) -> None:
        self.engine = EngineProcess()
        self.engine.answered.connect(_make_ready)
        self.engine.answered.connect(self._keep)
        self.described: Described | None = None
        self.models: dict[str, ModelDescribed] = {}
        self.choice = Choice()
        self.computing: WeakSet[Any] = WeakSet()
        self._folder = tempfile.TemporaryDirectory(
            prefix="smoothsal-view-", ignore_cleanup_errors=True
        )
        self._numbers = count(1)
        self._docks = 0
        self._pinned: Counter[Path | None] = Counter()
        self._doomed: set[Path | None] = set()
        # Where no dock says good-bye, e.g. in a script that ends without closing its viewer.
        atexit.register(self.close)

    def _keep(self, answer: Answer) -> None:
        if isinstance(answer, Described):
            self.described = answer
        elif isinstance(answer, ModelDescribed):
            self.models[answer.model] = answer

    @property
    def folder(self) -> Path:
        """The temporary folder."""
        return Path(self._folder.name)

    def new_folder(self) -> Path:
        """A fresh folder in it, for one request."""
        path = self.folder / f"{next(self._numbers):05d}"
        path.mkdir()
        return path

    def discard(self, path: Path | None) -> None:
        """Delete a folder made by `new_folder`."""
        if self._pinned[path]:
            self._doomed.add(path)
        elif path is not None and path.parent == self.folder:
            shutil.rmtree(path, ignore_errors=True)

    def pin(self, path: Path | None) -> None:
        """Somebody reads a folder: it stays until `unpin`, whoever discards it meanwhile."""
        self._pinned[path] += 1

    def unpin(self, path: Path | None) -> None:
        """Nobody reads it any more."""
        self._pinned[path] -= 1
        if not self._pinned[path] and path in self._doomed:
            self._doomed.remove(path)
            self.discard(path)

    def enter(self) -> None:
        """A dock begins to use this session."""
        self._docks += 1

    def leave(self) -> None:
        """A dock ends to; with the last one the engine and the folder go."""
        self._docks -= 1
        if self._docks <= 0:
            self.close()

    def close(self) -> None:
        """End the engine and delete the folder; the viewer gets a new session if it asks."""
        atexit.unregister(self.close)
        self.engine.close()
        self._folder.cleanup()
        for viewer, session in list(_SESSIONS.items()):
            if session is self:
                del _SESSIONS[viewer]


_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """The session of a viewer; made when it is first asked for."""
    # napari hands plugins a proxy, each time a new one; they share the viewer behind it.
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session()
    return _SESSIONS[viewer]


def open_session_of(viewer: Any) -> Session | None:
    """The session of a viewer, where a dock has asked for one."""
    return _SESSIONS.get(getattr(viewer, "__wrapped__", viewer))


def _make_ready(answer: Answer) -> None:
    """Import what the first map will need, before it would hold the window."""
    if isinstance(answer, Ready):
        Thread(target=import_module, args=("zarr",), name="smoothsal-imports", daemon=True).start()
