"""Engines that start at once: forked from a process that has loaded their libraries.

Loading takes seconds of a core, and most tests need a fresh engine, not that its libraries are
loaded anew. What runs is the engine's own `main`, in a process of its own, with the pipes that Qt
made; those tests that are about starting and dying start the real one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ADDRESS = "SMOOTHSAL_TEST_ENGINES"

COMMAND = f"""
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as pipe:
    pipe.connect(os.environ["{ADDRESS}"])
    said = json.dumps([os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(pipe, [len(said).to_bytes(8, "big")], [0, 1, 2])
    pipe.sendall(said)
    for file in (0, 1):
        os.close(file)  # the engine's alone: it hears the end of its input
    code = pipe.recv(1)
os._exit(code[0] if code else 1)
"""
"""In the place of `engine.COMMAND`: hands its pipes over, and ends when the engine does."""


@contextmanager
def forking_engines(folder: Path) -> Iterator[None]:
    """A process that forks engines, for as long as the block; found by an environment variable."""
    address = str(folder / "engines")
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    code += f"from forked_engine import serve; serve({address!r})"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        os.environ[ADDRESS] = address
        try:
            yield
        finally:
            del os.environ[ADDRESS]
            server.kill()


def serve(address: str) -> None:
    """Fork an engine for each connection, until the input ends."""
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    from napari_smoothsal.viewer import engine_main, engine_work  # noqa: F401

    threading.Thread(target=_end_with_input, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)  # noqa: T201
        while True:
            pipe, _ = listening.accept()
            threading.Thread(target=_one, args=(pipe, listening), daemon=True).start()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _one(pipe: socket.socket, listening: socket.socket) -> None:
    length, files, _, _ = socket.recv_fds(pipe, 8, 3)
    said = b""
    while len(said) < int.from_bytes(length, "big"):
        said += pipe.recv(1 << 16)
    child = os.fork()
    if not child:
        listening.close()
        pipe.close()
        _become_engine(files, *json.loads(said))
    for file in files:
        os.close(file)
    ended = threading.Event()
    threading.Thread(target=_kill_with, args=(pipe, child, ended), daemon=True).start()
    _, status = os.waitpid(child, 0)
    ended.set()
    with suppress(OSError):
        pipe.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
    pipe.close()


def _kill_with(pipe: socket.socket, child: int, ended: threading.Event) -> None:
    """Whoever kills what Qt started means the engine."""
    with suppress(OSError):
        if not pipe.recv(1) and not ended.is_set():
            os.kill(child, signal.SIGKILL)


def _become_engine(files: list[int], folder: str, environment: dict[str, str]) -> None:
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from napari_smoothsal.viewer.engine_main import main

        main()
    finally:
        os._exit(1)
