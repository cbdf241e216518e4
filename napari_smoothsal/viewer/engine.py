"""EngineProcess: the engine process from outside; never blocks the window.

A process started by Qt rather than by multiprocessing: napari may run inside a user's script,
which multiprocessing's spawn would run a second time, window and all; and Qt delivers output
and death as signals, so that no thread waits on a pipe.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

from pydantic import ValidationError
from qtpy.QtCore import QObject, QProcess, QTimer, Signal  # type: ignore[attr-defined]

from napari_smoothsal.viewer.asked import Cancel, Request
from napari_smoothsal.viewer.messages import answer_of, line_of
from napari_smoothsal.viewer.told import Answer, Ready
from napari_smoothsal.viewer.turns import Turns

COMMAND = "from napari_smoothsal.viewer.engine_main import main; main()"
END_MS = 1500
RESTART_MS = 200
MOST_EARLY_DEATHS = 2
"""Deaths before the first answer after which it is not started again by itself."""


class EngineProcess(QObject):
    """Starts the engine, sends requests, announces answers, restarts it when it dies.

    Signals
    -------
    answered(object)
        One `Answer`.
    died(str)
        The engine ended by itself; the cause in plain words. It is being started again.
    """

    answered = Signal(object)
    died = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._ids = count(1)
        self._buffer = b""
        self._log = b""
        self._early_deaths = 0
        self._ready = False
        self._closed = False
        self._turns = Turns(self)

    @property
    def ready(self) -> bool:
        """Whether the engine has loaded its libraries."""
        return self._ready

    @property
    def process_id(self) -> int:
        """Of the running engine; 0 without one."""
        return int(self._process.processId()) if self._process is not None else 0

    def start(self) -> None:
        """Start the engine if it does not run; returns at once."""
        if self._process is not None or self._closed:
            return
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._keep_log)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._not_started)
        self._process, self._buffer, self._log, self._ready = process, b"", b"", False
        # -P: a file named torch.py where napari was started must not be imported.
        process.start(sys.executable, ["-P", "-c", COMMAND])

    def ask(self, make: Callable[[int], Request]) -> int:
        """Send the request that `make` builds from a new id; return the id."""
        self.start()
        request = make(next(self._ids))
        self._write(request)
        return request.id

    def cancel(self, request_id: int) -> None:
        """Ask a request, and earlier ones, to end; it answers when it has."""
        if self._process is not None:
            self._write(Cancel(id=request_id))

    def close(self) -> None:
        """End the engine; what it was computing stays resumable."""
        self._closed = True
        self._turns.clear()
        process, self._process = self._process, None
        if process is None:
            return
        process.finished.disconnect(self._ended)
        process.errorOccurred.disconnect(self._not_started)
        process.closeWriteChannel()  # the engine ends at once when its input does
        if process.state() != QProcess.ProcessState.NotRunning and not process.waitForFinished(
            END_MS
        ):
            process.kill()
            process.waitForFinished(END_MS)

    def _write(self, request: Request) -> None:
        assert self._process is not None
        self._process.write(line_of(request))

    def _read(self) -> None:
        if self._process is None:
            return
        self._buffer += bytes(self._process.readAllStandardOutput().data())
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._turns.add(partial(self._tell, line))

    def _tell(self, line: bytes) -> None:
        try:
            answer: Answer = answer_of(line)
        except ValidationError:
            self._log += line + b"\n"
            return
        if isinstance(answer, Ready):
            self._ready, self._early_deaths = True, 0
        self.answered.emit(answer)

    def _keep_log(self) -> None:
        if self._process is not None:
            self._log = (self._log + bytes(self._process.readAllStandardError().data()))[-8000:]

    def _not_started(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._bury(f"Python could not be started ({self._process_error()})")

    def _ended(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._turns.finish()
        self._keep_log()
        if status == QProcess.ExitStatus.CrashExit:
            cause = _crash_in_words(code)
        else:
            last = self._log.decode(errors="replace").strip().splitlines()
            cause = f"it ended with code {code}" + (f": {last[-1]}" if last else "")
        self._bury(cause)

    def _bury(self, cause: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        if not self._ready:
            self._early_deaths += 1
        self._ready = False
        again = self._early_deaths < MOST_EARLY_DEATHS
        after = "it is being started again" if again else "it starts again with the next request"
        self.died.emit(f"The computing process ended: {cause}; {after}.")
        if again:
            QTimer.singleShot(RESTART_MS, self.start)

    def _process_error(self) -> str:
        return str(self._process.errorString()) if self._process is not None else "unknown"


def _crash_in_words(code: int) -> str:
    """A signal's name; on Windows the status code."""
    try:
        name = signal.Signals(code).name
    except ValueError:
        return f"it crashed (code {code})"
    if name == "SIGKILL":
        return "it was killed (SIGKILL), most often because memory ran out"
    if name == "SIGSEGV":
        return "it crashed while decoding or computing (SIGSEGV)"
    return f"it was ended by {name}"
