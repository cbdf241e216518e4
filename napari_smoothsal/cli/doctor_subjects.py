"""What ``smoothsal doctor`` was given: a model, a slide, a store, or a folder of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_smoothsal.core.errors import SettingError, SlideError
from napari_smoothsal.core.findings import Finding

Findings = tuple[Finding, ...]


@dataclass(frozen=True)
class Ways:
    """How slides and stores are looked at; see `examine_slide` and `repair_store`."""

    mpp: float | None = None
    thorough: bool = False
    sha256: bool = False
    repair: bool = False


@dataclass(frozen=True)
class Subject:
    """One thing to be looked at.

    Attributes
    ----------
    kind, name
        What it is, and what it is called on the terminal.
    look
        Does so.
    """

    kind: str
    name: str
    look: Callable[[], Findings]


def subjects(given: str, ways: Ways) -> list[Subject]:
    """What a word stands for.

    Parameters
    ----------
    given
        Name of a built-in model, ``LIBRARY:NAME:FILE``, or a path.
    ways
        How it is looked at.

    Raises
    ------
    SettingError
        If it stands for nothing that can be looked at.
    """
    if "://" in given:
        raise SettingError(
            f"{given.rstrip('/').rpartition('/')[2]!r} is behind a URL, and only what lies on this "
            "machine can be looked at; copy it to a folder"
        )
    from napari_smoothsal.models.libraries import LIBRARIES
    from napari_smoothsal.models.loading import builtin_models

    path = Path(given)
    if given in builtin_models() or (given.partition(":")[0] in LIBRARIES and ":" in given):
        return [_model(given, given)]
    if path.is_dir():
        found = _of_folder(path, ways) or list(_within(path, ways))
        if not found:
            raise SettingError(
                f"{path.name!r} holds neither a model nor a slide nor a store; give one of these, "
                "or a folder that holds some"
            )
        return found
    if path.is_file():
        return [_slide(path, ways)]
    raise SettingError(
        f"{path.name!r} is nothing that can be looked at: there is no such file or folder, and no "
        f"model of that name; built-in ones are {', '.join(builtin_models())}"
    )


def _of_folder(folder: Path, ways: Ways) -> list[Subject]:
    """A folder that is one thing itself."""
    from napari_smoothsal.models.formats import is_known
    from napari_smoothsal.runs.store_check import is_store
    from napari_smoothsal.slides.dicom import slides_of_series

    if is_store(folder):
        return [_store(folder, ways)]
    if is_known(folder):
        return [_model(folder, folder.name)]
    if len(slides_of_series(folder)) == 1:
        return [_slide(folder, ways)]
    return []


def _within(folder: Path, ways: Ways) -> Iterator[Subject]:
    """What a folder holds, by name; stores that never came to be last."""
    from napari_smoothsal.runs.store_litter import stores_begun
    from napari_smoothsal.slides.find import slides_among

    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if entry.is_dir():
            yield from _of_folder(entry, ways)
    try:
        slides = slides_among([folder])
    except SlideError:  # it holds none
        slides = []
    for slide in slides:
        if slide.is_file():
            yield _slide(slide, ways)
    for store in stores_begun(folder):
        yield Subject("store", store.name, partial(_begun, store, ways))


def _model(source: str | Path, name: str) -> Subject:
    from napari_smoothsal.models.model_check import examine_model

    return Subject("model", name, partial(examine_model, source))


def _slide(path: Path, ways: Ways) -> Subject:
    from napari_smoothsal.slides.reading_check import examine_slide

    look = partial(examine_slide, path, ways.mpp, thorough=ways.thorough, sha256=ways.sha256)
    return Subject("slide", path.name, look)


def _store(path: Path, ways: Ways) -> Subject:
    from napari_smoothsal.runs.store_check import examine_store, repair_store

    return Subject(
        "store", path.name, lambda: (repair_store if ways.repair else examine_store)(path)
    )


def _begun(path: Path, ways: Ways) -> Findings:
    from napari_smoothsal.runs.store_check import examine_begun, repair_store

    return repair_store(path) if ways.repair else examine_begun(path)
