"""The summary of a batch: ``summary.json`` and ``summary.csv`` in its folder.

Made anew from the states of all slides after each one, by whichever process has finished it. No
lock is needed: whoever writes looks afterwards whether a state has changed meanwhile, and if so
writes again; the last one to write has therefore seen all.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.runs.places import Place, asked, marks_in
from napari_smoothsal.runs.slide_list import SlideJob
from napari_smoothsal.runs.slide_states import FOLDER, SlideState, read_state

JSON, CSV = "summary.json", "summary.csv"
COLUMNS = (
    "slide",
    "store",
    "model",
    "region",
    "state",
    "tiles",
    "failed_tiles",
    "not_explained",
    "seconds",
    "error",
)


class Summary:
    """Writes the summary of one batch.

    Parameters
    ----------
    out
        Its folder.
    jobs
        All slides of its list, those of other shards included: what has no state is waiting.
    """

    def __init__(self, out: Place, jobs: Sequence[SlideJob]) -> None:
        self._out = out
        self._jobs = jobs
        self._known: dict[str, tuple[Hashable, SlideState]] = {}

    def write(self) -> None:
        """Make both files anew; a full or vanished disk is the run's to tell."""
        with suppress(OSError), asked(self._out):
            marks = self._look()
            while True:
                self._put([state for _, state in self._known.values()])
                before, marks = marks, self._look()
                if marks == before:
                    return

    def rows(self) -> list[SlideState]:
        """The state of every slide: those of the list in its order, then others of the folder."""
        self._look()
        return self._ordered([state for _, state in self._known.values()])

    def _look(self) -> dict[str, Hashable]:
        """Read what has changed; returns the marks of all."""
        folder = self._out / FOLDER
        marks = marks_in(folder, ".json")
        for name, mark in marks.items():
            old = self._known.get(name)
            if old is None or old[0] != mark:
                state = read_state(folder / name)
                if state is not None:
                    self._known[name] = (mark, state)
        return marks

    def _ordered(self, states: Sequence[SlideState]) -> list[SlideState]:
        by_store = {state.store: state for state in states}
        unbegun = {
            job.store: SlideState(slide=job.name, store=job.store, region=job.region)
            for job in self._jobs
        }
        others = sorted(by_store.keys() - unbegun.keys())
        rows = [by_store.get(store, waiting) for store, waiting in unbegun.items()]
        return rows + [by_store[store] for store in others]

    def _put(self, states: Sequence[SlideState]) -> None:
        rows = self._ordered(states)
        table: list[dict[str, Any]] = [
            {name: getattr(row, name) for name in COLUMNS} | {"seconds": round(row.seconds, 1)}
            for row in rows
        ]
        whole = {
            "schema_version": 1,
            "states": dict(Counter(row.state for row in rows)),
            "slides": table,
        }
        with replaced_at_once(self._out / JSON) as part:
            part.write_text(json.dumps(whole, indent=1), encoding="utf-8")
        with (
            replaced_at_once(self._out / CSV) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for row in table:
                region = row["region"] and ",".join(map(str, row["region"]))
                writer.writerow(row | {"region": region})
