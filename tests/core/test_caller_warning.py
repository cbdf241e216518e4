"""A warning blames the code that called the package."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_smoothsal.core.caller_warning import heard_warnings, warn_caller


def deep(module: str, depth: int) -> None:
    """Warn below so many functions of a module of that name."""
    space = {"__name__": module, "warn_caller": warn_caller}
    exec("def at(n): at(n - 1) if n else warn_caller('so it is')", space)
    space["at"](depth)


def test_the_first_caller_outside_is_blamed_however_deep() -> None:
    for depth in (0, 1, 7):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            deep("napari_smoothsal.runs.of_something", depth)
        assert [(w.filename, str(w.message)) for w in caught] == [(__file__, "so it is")]


def test_another_package_whose_name_begins_so_is_a_caller() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        deep("napari_smoothsal_extras", 2)
    assert caught[0].filename == "<string>"


def test_a_thread_that_listens_hears_its_own_warnings_alone() -> None:
    # Beside each other, and ended in another order than begun.
    both, ended = threading.Barrier(2), threading.Event()

    def listen(name: str, wait: threading.Event | None) -> list[str]:
        with heard_warnings() as said:
            both.wait(10)
            warn_caller(name)
            if wait is not None:
                wait.wait(10)
                warn_caller(f"{name} again")
        ended.set()
        return said

    with ThreadPoolExecutor(2) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = pool.submit(listen, "one", ended), pool.submit(listen, "two", None)
        assert (one.result(), two.result()) == (["one", "one again"], ["two"])
    with pytest.warns(UserWarning, match="so it is"):
        warn_caller("so it is")
