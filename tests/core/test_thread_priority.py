"""Threads that work ahead give way, and nobody else does."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_smoothsal.core.thread_priority import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it does nothing")
def test_a_thread_gives_way_alone_and_whatever_its_priority_was() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def twice() -> list[int]:
        give_way()
        once = priority()
        give_way()
        return [once, priority()]

    before = priority()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(twice).result() == [min(19, before + n) for n in (5, 10)]
    assert priority() == before
