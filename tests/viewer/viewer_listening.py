"""Waiting for an engine and for docks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from napari_smoothsal.viewer.asked import DescribeModel
from napari_smoothsal.viewer.engine_work import Engine
from napari_smoothsal.viewer.offered import ModelDescribed
from napari_smoothsal.viewer.turns import Turns

PATIENCE_MS = 60_000

T = TypeVar("T")


class Listener:
    """Collects what an engine says."""

    def __init__(self, engine: Any, qtbot: Any) -> None:
        self._answers: list[Any] = []
        self._qtbot = qtbot
        engine.answered.connect(self._answers.append)

    def seen(self, kind: type[T]) -> list[T]:
        """All answers of a kind so far."""
        return [answer for answer in self._answers if isinstance(answer, kind)]

    def wait_for(self, kind: type[T], such: Callable[[T], bool] = lambda _: True) -> T:
        """The first answer of a kind for which a condition holds."""
        self._qtbot.waitUntil(lambda: any(map(such, self.seen(kind))), timeout=PATIENCE_MS)
        return next(answer for answer in self.seen(kind) if such(answer))


def finish(dock: Any, qtbot: Any) -> None:
    """Wait until a Saliency dock explains nothing and has drawn what it was told."""
    qtbot.waitUntil(lambda: not dock.busy, timeout=PATIENCE_MS)
    for turns in dock.findChildren(Turns):  # what is marked comes in a turn of its own
        turns.finish()


def described(model: Path) -> ModelDescribed:
    """What the engine says of a model."""
    said: list[Any] = []
    Engine(said.append, lambda _: False).describe_model(DescribeModel(id=1, model=str(model)))
    return said[0]
