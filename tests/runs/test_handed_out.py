"""Units that workers have: one each, taken back from those that are gone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_smoothsal.core.errors import SlideError
from napari_smoothsal.runs import handed_out
from napari_smoothsal.runs.handed_out import MOST_LOST, HandedOut, Hands, UnknownWorkError
from napari_smoothsal.runs.unit import Unit


class Workers:
    """A client whose workers never end what they are given."""

    def __init__(self) -> None:
        self.status = "running"
        self.given: list[str] = []
        self.cancelled = 0

    def submit(self, *_asked: Any, workers: list[str], **_options: Any) -> SimpleNamespace:
        if self.status != "running":
            raise RuntimeError("client is closed")
        self.given += workers
        return SimpleNamespace(done=lambda: False)

    def cancel(self, futures: list[Any], **_options: Any) -> None:
        self.cancelled += len(futures)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Workers:
    asked = SimpleNamespace(stage=SimpleNamespace(name="explaining"), name="s")
    monkeypatch.setattr(handed_out, "_asked", lambda *_: asked)
    return Workers()


def handed(client: Workers, units: int) -> HandedOut:
    class Stage(SimpleNamespace):
        def __len__(self) -> int:
            return units

    order: Any = SimpleNamespace(
        slide=SimpleNamespace(name="s", source="s.tif"),
        stage=Stage(name="explaining"),
        report=lambda _: None,
    )
    unit = Unit([], {}, np.ones(0, np.bool_))
    return HandedOut(Hands(client, "token", "s", None), order, [unit] * units)  # type: ignore[arg-type]


def test_each_worker_has_one_and_that_of_a_worker_that_is_gone_goes_elsewhere(client) -> None:
    out = handed(client, 2)
    out.tend(["a", "b"])
    out.tend(["a", "b"])
    assert client.given == ["a", "b"] and out.take() is None
    out.tend(["b"])
    assert client.cancelled == 1 and not out.finished
    out.tend(["b", "c"])
    assert client.given == ["a", "b", "c"]
    out.close()
    assert client.cancelled == 3


def test_a_unit_at_which_worker_after_worker_is_lost_fails_its_slide(client) -> None:
    out = handed(client, 1)
    for number in range(MOST_LOST):
        out.tend([f"w{number}"])
    with pytest.raises(SlideError, match=r"each worker that computed one part of it was lost"):
        out.tend([])


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_is_closed_leaves_the_slide_resumable(client, begun: bool) -> None:
    out = handed(client, 1)
    if begun:
        out.tend(["a"])  # and nothing is left to be given
    client.status = "closed"
    with pytest.raises(UnknownWorkError, match="the same command goes on where it stopped"):
        out.tend(["a", "b"])


def test_a_client_that_closes_as_it_is_given_a_unit_does_too(client, monkeypatch) -> None:
    def closing(*_asked: Any, **_options: Any) -> None:
        client.status = "closed"
        raise RuntimeError("client is closed")

    monkeypatch.setattr(client, "submit", closing)
    with pytest.raises(UnknownWorkError):
        handed(client, 1).tend(["a"])
