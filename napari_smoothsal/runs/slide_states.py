"""How far each slide of a batch is: one small file a slide, replaced in one step.

``.states/<store>.json`` in the batch's folder. Only the process that holds a slide's claim writes
its file, so that any number of processes share a folder.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from napari_smoothsal.core.errors import SettingError, StoreError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.runs.lease import lease_of
from napari_smoothsal.runs.places import Place, asked, on_url, read_whole

FOLDER = ".states"

MOST_DEATHS = 2
"""Processes that one slide may take with it."""

StateName = Literal["waiting", "running", "complete", "complete_with_errors", "failed", "skipped"]


class SlideState(Settings):
    """How far one slide is.

    Attributes
    ----------
    slide, store
        Base names.
    state
        ``waiting``; ``running``, which is also one that was interrupted; ``complete``;
        ``complete_with_errors``, where tiles failed; ``failed``, where the slide did; ``skipped``,
        where another process held it.
    model
        Its card's name; empty before it is loaded.
    region
        (x, y, w, h) in level-0 px where one was asked for.
    tiles, failed_tiles, not_explained
        Of the run; None before it is planned.
    seconds
        Spent on it, over all attempts; those of a process that was killed are lost.
    error
        What stopped it.
    lasting
        Of a failed one: the same command would fail again, so that it only tries if told to.
    asked
        Hash of the slide's file and of all that was asked of it.
    at_work
        Of a running one: a process was at it when this was written. It takes that back when it is
        interrupted; where nobody has done so and nobody holds the slide, it died.
    deaths
        Processes that died at it one after the other before this one took it up, none of which
        but the first brought it any further.
    reached
        How far its store was at that time: tiles that were looked at, and again those explained.
    """

    schema_version: Literal[1] = Field(1, repr=False)
    slide: str
    store: str
    state: StateName = "waiting"
    model: str = ""
    region: tuple[int, int, int, int] | None = None
    tiles: int | None = None
    failed_tiles: int | None = None
    not_explained: int | None = None
    seconds: float = 0.0
    error: str = ""
    lasting: bool = False
    asked: str = ""
    at_work: bool = False
    deaths: int = 0
    reached: int = 0


def state_file(out: Place, store: str) -> Place:
    """Where the state of a slide is kept."""
    return out / FOLDER / f"{store}.json"


def read_state(file: Place) -> SlideState | None:
    """The state in a file; None where there is none, or what is there is none of ours."""
    try:
        return SlideState.model_validate_json(read_whole(file))
    except (OSError, ValidationError, SettingError):
        return None


def claim_of(out: Place, store: str) -> Place:
    """What a process holds that works on a slide."""
    return out / FOLDER / store


def write_state(out: Place, state: SlideState) -> None:
    """Replace the state of a slide.

    A disk that is full or gone must not hide what the run itself says of it, so that nothing is
    raised: the store knows how far it is, the state only tells. Nor is anything written of a slide
    that another process has taken over: it tells itself.
    """
    file = state_file(out, state.store)
    with suppress(OSError, StoreError):
        if not on_url(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        elif (lease := lease_of(claim_of(out, state.store))) is not None:
            lease.check()
        with asked(file), replaced_at_once(file) as part:
            part.write_text(state.model_dump_json(indent=1), encoding="utf-8")


def deaths_at(before: SlideState | None, asked: str, reached: int) -> int:
    """Processes that have died at a slide in a row, once its claim is held.

    Ends that have nothing to do with the slide (a time limit, a reboot) may come as often as they
    like, as long as each attempt brings the slide further.

    Parameters
    ----------
    before
        Its state as found.
    asked
        As of now: deaths at another file or another command count for nothing.
    reached
        How far its store is now, as of `SlideState`.
    """
    if before is None or not before.at_work or before.asked != asked:
        return 0
    return 1 if reached > before.reached else before.deaths + 1


def called_off(out: Place, store: str) -> None:
    """Note that whoever worked on a slide was ended on purpose, and did not die of it."""
    state = read_state(state_file(out, store))
    if state is not None and state.at_work:
        write_state(out, state.model_copy(update={"at_work": False}))


_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:[\\/]|[\\/]|\\\\)(?:[^\\/:*?\"'<>|\s]+[\\/])+")
"""Of an absolute path, all but its last part."""


def without_folders(text: str, *known: Place) -> str:
    """A message without the folders of absolute paths; of those that are known, blanks and all."""
    for folder in known:
        for form in {str(folder), str(folder.absolute())}:
            if len(form) > 1:
                text = re.sub(re.escape(form) + r"[\\/]", "", text)
    return _FOLDERS.sub("", text)


def said_of(error: BaseException, *known: Place) -> str:
    """An error in one line without a folder's name."""
    if isinstance(error, OSError) and error.strerror:
        name = Path(str(error.filename)).name if error.filename else ""
        text = f"{error.strerror}: {name}" if name else error.strerror
    else:
        text = str(error) or type(error).__name__
    return without_folders(" ".join(text.split()), *known)
