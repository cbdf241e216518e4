"""Lending: workers that have nothing left to do are lent to slides that are still computed."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from distributed import Client

from napari_smoothsal.runs.at_worker import lend

Lent = dict[str, tuple[str, ...]]
"""Addresses of workers by the name of a slide's store."""


def lent_to(
    slides: Sequence[str], idle: Collection[str], before: Mapping[str, Sequence[str]]
) -> Lent:
    """Share workers among slides, as evenly as it goes without taking any away.

    Parameters
    ----------
    slides
        Names of their stores, in the order in which they were begun.
    idle
        Addresses of workers that have no slide.
    before
        How they were lent until now.
    """
    lent = {name: [one for one in before.get(name, ()) if one in idle] for name in slides}
    free = sorted(set(idle) - {one for some in lent.values() for one in some})
    for address in free if lent else ():
        min(lent.values(), key=len).append(address)  # the first of those that have least
    return {name: tuple(some) for name, some in lent.items()}


class Lending:
    """Tells the workers of a cluster which others each slide may have.

    Parameters
    ----------
    client
        Of the cluster.
    token
        Of the command.
    """

    def __init__(self, client: Client, token: str) -> None:
        self._client, self._token = client, token
        self._lent: Lent = {}
        self._workers: Sequence[str] = ()
        self._number = 0

    def tell(self, workers: Sequence[str], slides: Mapping[str, str]) -> None:
        """Say what changed; all of it where workers came or went.

        Parameters
        ----------
        workers
            Addresses of those that can compute.
        slides
            Names of stores that are computed, one worker each, with the keys of their tasks.
        """
        idle = self._idle(workers, slides) if len(slides) < len(workers) else ()
        lent = lent_to(list(slides), idle, self._lent)
        anew = workers != self._workers
        changed = {
            name: lent.get(name, ())
            for name in {**self._lent, **lent}
            if lent.get(name, ()) != self._lent.get(name, ()) or (anew and lent.get(name))
        }
        self._lent, self._workers = lent, workers
        if changed:
            self._number += 1
            # A worker that hangs answers late, or never.
            threading.Thread(target=self._say, args=(self._number, changed), daemon=True).start()

    def _idle(self, workers: Sequence[str], slides: Mapping[str, str]) -> Collection[str]:
        """Those without a slide, of as many as there are more than slides.

        Tasks that were just submitted are not with their workers yet.
        """
        computed = set(slides.values())
        tasks: Mapping[str, Collection[str]] = self._client.processing()
        free = [one for one in workers if computed.isdisjoint(tasks.get(one, ()))]
        return free[: len(workers) - len(slides)]

    def _say(self, number: int, lent: Lent) -> None:
        with suppress(Exception):  # that everything is gone is told by others
            self._client.run(lend, self._token, number, lent, on_error="ignore")
