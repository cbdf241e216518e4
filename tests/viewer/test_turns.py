"""Work taken step by step leaves turns of the event loop to everything else."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_smoothsal.viewer.turns import Turns


class Other(QObject):
    """Something else that waits for its turn."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    def event(self, _event: QEvent | None) -> bool:
        self._order.append("other")
        return True


def test_what_else_waits_comes_between_two_steps(qtbot: Any) -> None:
    order: list[str] = []
    turns, other = Turns(), Other(order)

    def first() -> None:
        order.append("first")
        QCoreApplication.postEvent(other, QEvent(QEvent.Type.User))

    turns.add(first)
    turns.add(lambda: order.append("second"))
    assert order == []
    qtbot.waitUntil(lambda: "second" in order)
    assert order == ["first", "other", "second"]
    turns.add(lambda: order.append("third"))
    qtbot.waitUntil(lambda: order[-1] == "third")


def test_steps_can_be_taken_now_or_not_at_all(qtbot: Any) -> None:
    order: list[str] = []
    turns = Turns()
    turns.add(lambda: order.append("first"))
    turns.add(lambda: turns.add(lambda: order.append("third")))
    turns.add(lambda: order.append("second"))
    turns.finish()
    assert order == ["first", "second", "third"]
    turns.add(lambda: order.append("never"))
    turns.clear()
    qtbot.wait(50)
    assert order[-1] == "third"
