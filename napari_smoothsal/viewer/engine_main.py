"""The engine process from inside: requests on standard input, answers on standard output.

A thread reads requests, so that a cancel is heard while a batch is computed; the main thread
answers them one after another. The end of standard input means that napari is gone, however it
went, and ends this process with it.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

from pydantic import BaseModel, ValidationError

from napari_smoothsal.core.available_cores import available_cores
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.freed_memory import keep_freed_memory
from napari_smoothsal.viewer.asked import (
    Calibrate,
    Cancel,
    Compare,
    Describe,
    DescribeFills,
    DescribeModel,
    Estimate,
    Explain,
    FindHotspots,
    Measure,
    Predict,
    Request,
    Save,
    SaveColumns,
    ShowInput,
    Trust,
    TryChange,
)
from napari_smoothsal.viewer.messages import line_of, request_of
from napari_smoothsal.viewer.told import Answer, Failed, Ready, Stopped

if TYPE_CHECKING:
    from napari_smoothsal.viewer.engine_work import Engine


CHANNELS: dict[type[BaseModel], str] = {
    Explain: "explain",
    Estimate: "explain",
    Measure: "measure",
    Compare: "compare",
    Predict: "predict",
    Trust: "trust",
    Calibrate: "trust",
    ShowInput: "explain",
    FindHotspots: "hotspots",
    TryChange: "try",
}
"""What a newer request of the same channel ends."""


class Inbox(threading.Thread):
    """Reads requests; knows which of them are no longer wanted.

    Ids grow, so one number for each channel says it: everything of it up to that is to end.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(name="smoothsal-inbox", daemon=True)
        self.requests: queue.Queue[Request] = queue.Queue()
        self._source = source
        self._channels: dict[int, str] = {}
        self._ended: dict[str, int] = {}

    def stopped(self, request_id: int) -> bool:
        """Whether a request is to end."""
        return request_id <= self._ended.get(self._channels.get(request_id, ""), -1)

    def run(self) -> None:
        for line in self._source:
            try:
                request = request_of(line)
            except ValidationError as error:
                print(f"not understood: {error}", file=sys.stderr)  # noqa: T201
                continue
            if isinstance(request, Cancel):
                self._end(self._channels.get(request.id), request.id)
                continue
            if (channel := CHANNELS.get(type(request))) is not None:
                self._channels[request.id] = channel
                self._end(channel, request.id - 1)
            self.requests.put(request)
        # At once: a batch that is being computed helps nobody. What is stored is resumable.
        os._exit(0)

    def _end(self, channel: str | None, request_id: int) -> None:
        if channel is not None:
            self._ended[channel] = max(self._ended.get(channel, -1), request_id)


def main() -> None:
    """Serve until standard input ends."""
    # Libraries print; only answers may reach the pipe.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    inbox = Inbox(sys.stdin.buffer)
    inbox.start()

    def send(answer: Answer) -> None:
        pipe.write(line_of(answer))
        pipe.flush()

    keep_freed_memory()
    import torch

    from napari_smoothsal.viewer import engine_work

    threads = max(1, available_cores() - 1)  # one core stays with the window
    torch.set_num_threads(threads)
    send(Ready(threads=threads))
    engine = engine_work.Engine(send, inbox.stopped)
    while True:
        request = inbox.requests.get()
        try:
            if inbox.stopped(request.id):
                send(Stopped(id=request.id))
            else:
                _answer(engine, request)
        except SmoothsalError as error:
            send(_failed(request, error, expected=True))
        except Exception as error:  # noqa: BLE001 - told in the window, and the engine goes on
            import traceback

            traceback.print_exc()
            send(_failed(request, error, expected=False))


def _answer(engine: Engine, request: Request) -> None:
    if isinstance(request, Describe):
        engine.describe(request)
    elif isinstance(request, DescribeModel):
        engine.describe_model(request)
    elif isinstance(request, DescribeFills):
        engine.describe_fills(request)
    elif isinstance(request, Explain):
        engine.explain(request)
    elif isinstance(request, Estimate):
        engine.estimate(request)
    elif isinstance(request, Measure):
        engine.measure(request)
    elif isinstance(request, Compare):
        engine.compare(request)
    elif isinstance(request, SaveColumns):
        engine.save_columns(request)
    elif isinstance(request, Predict):
        engine.predict(request)
    elif isinstance(request, Trust | Calibrate):
        engine.judge(request)
    elif isinstance(request, ShowInput):
        engine.show_input(request)
    elif isinstance(request, TryChange):
        engine.try_change(request)
    elif isinstance(request, Save):
        engine.save(request)
    elif isinstance(request, FindHotspots):
        engine.find_hotspots(request)


def _failed(request: Request, error: Exception, *, expected: bool) -> Failed:
    text = str(error) or type(error).__name__
    return Failed(id=request.id, kind=type(error).__name__, message=text, expected=expected)
