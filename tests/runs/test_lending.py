"""Workers that have nothing left to do are lent to slides; what was said last is heard last."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from napari_smoothsal.core.specs import Compute
from napari_smoothsal.runs.at_worker import _Command
from napari_smoothsal.runs.lending import Lending, lent_to
from napari_smoothsal.runs.slide_work import Work


class Heard:
    """A client of workers that compute the slides of their names, and note what they are told."""

    def __init__(self) -> None:
        self.said: list[dict[str, tuple[str, ...]]] = []
        self.numbers: list[int] = []

    def processing(self) -> dict[str, tuple[str, ...]]:
        return {f"at {name}": (f"slide-{name}",) for name in "abc"}

    def run(self, _lend, _token, number, lent, on_error) -> None:
        self.numbers.append(number)
        self.said.append(lent)


def told(lending: Lending, workers: str, slides: str) -> None:
    before = set(threading.enumerate())
    lending.tell([f"at {name}" for name in workers], {name: f"slide-{name}" for name in slides})
    for thread in set(threading.enumerate()) - before:
        thread.join()


@given(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99))
def test_idle_workers_are_shared_as_evenly_as_it_goes(slides: int, idle: int, before: int) -> None:
    names = [str(n) for n in range(slides)]
    lent = lent_to(names, {f"w{n}" for n in range(idle)}, {})
    counts = [len(some) for some in lent.values()]
    assert sum(counts) == (idle if slides else 0) and counts == sorted(counts)[::-1]
    assert max(counts, default=0) - min(counts, default=0) <= 1
    # Whoever was lent stays, unless it has a slide of its own now.
    then = lent_to(names[1:], {f"w{n}" for n in range(before)}, lent)
    for name, some in then.items():
        stayed = [one for one in lent[name] if int(one[1:]) < before]
        assert list(some[: len(stayed)]) == stayed
    assert sum(map(len, then.values())) == len({*sum(then.values(), ())})


def test_what_changed_is_told_and_all_of_it_to_workers_that_are_new() -> None:
    client = Heard()
    lending = Lending(client, "token")  # type: ignore[arg-type]
    told(lending, "abc", "abc")
    assert not client.said
    told(lending, "abc", "ab")
    told(lending, "abc", "ab")
    told(lending, "abcd", "ab")
    told(lending, "ab", "ab")
    told(lending, "abcd", "b")
    told(lending, "abcd", "")
    c, d, a = "at c", "at d", "at a"
    assert client.said == [
        {"a": (c,)}, {"a": (c,), "b": (d,)}, {"a": (), "b": ()}, {"b": (a, c, d)}, {"b": ()}
    ]  # fmt: skip
    assert client.numbers == [1, 2, 3, 4, 5]


def test_a_worker_that_hears_things_late_keeps_the_newest() -> None:
    work = Work("demo-classifier", [], None, None, {"compute": Compute(device="cpu")}, False)  # type: ignore[arg-type]
    command = _Command("token", work, 1)
    command.lend(2, {"a": ("x", "y")})
    command.lend(1, {"a": ("x",), "b": ("z",)})
    assert command.lent == {"a": ("x", "y"), "b": ("z",)}


def test_a_hung_worker_holds_nobody_up() -> None:
    hangs = threading.Event()

    class Hung(Heard):
        def run(self, *_asked, on_error) -> None:
            hangs.wait(20)

    lending = Lending(Hung(), "token")  # type: ignore[arg-type]
    lending.tell(["at a", "x"], {"a": "slide-a"})
    lending.tell(["at a", "x", "y"], {"a": "slide-a"})
    hangs.set()
