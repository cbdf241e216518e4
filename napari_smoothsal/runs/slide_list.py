"""The slides of a batch: what is done to which, under which name, by which shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.runs.layout import SUFFIX
from napari_smoothsal.runs.manifest import ManifestRow, is_manifest, read_manifest
from napari_smoothsal.runs.plan import Region
from napari_smoothsal.slides.find import slides_among

Shard = tuple[int, int]
"""(i, n): the i-th of n shares of a list, i from 1 on."""


@dataclass(frozen=True)
class SlideJob:
    """One slide of a batch.

    Attributes
    ----------
    source
        Path or URL.
    name
        Base name of the slide.
    store
        Name of its store's folder, which no other slide of the batch has.
    mpp, region, mask, model
        From a manifest; None: as for all.
    """

    source: str
    name: str
    store: str
    mpp: float | None = None
    region: Region | None = None
    mask: str | None = None
    model: str | None = None


def slide_jobs(slides: str | Path | Sequence[str | Path]) -> list[SlideJob]:
    """The slides behind paths, each once with a store of its own.

    Parameters
    ----------
    slides
        Slide files, folders of one DICOM slide, folders of slides, URLs, CSV manifests.

    Returns
    -------
    list of SlideJob
        As given; of a folder by name; of a manifest line by line. The same list gives the same
        names of stores. Where a base name comes twice, the second is ``name~2``.

    Raises
    ------
    SmoothsalError
        Where a folder holds no slide, or a manifest cannot work.
    """
    jobs: list[SlideJob] = []
    taken: set[str] = set()
    for given in [slides] if isinstance(slides, str | Path) else slides:
        rows = read_manifest(given) if is_manifest(given) else [ManifestRow(slide=str(given))]
        for row in rows:
            sources = [row.slide] if "://" in row.slide else slides_among([Path(row.slide)])
            for source in map(str, sources):
                path = Path(source)
                name = path.name if path.is_dir() else path.stem
                store = _free_name(name, taken)
                jobs.append(SlideJob(source, name, store, row.mpp, row.region, row.mask, row.model))
    return jobs


def shard_from(shard: Shard | str | None) -> Shard | None:
    """``i/n`` as two numbers.

    Raises
    ------
    SettingError
        If it does not say which of how many shares.
    """
    if shard is None:
        return None
    try:
        i, n = (int(part) for part in (shard.split("/") if isinstance(shard, str) else shard))
    except (ValueError, TypeError):
        i, n = 0, 0
    if not 1 <= i <= n:
        raise SettingError(
            f"shard = {shard!r}: give i/n, the i-th of n shares, i from 1 to n, e.g. 1/4"
        )
    return i, n


def in_shard(jobs: Sequence[SlideJob], shard: Shard | None) -> list[SlideJob]:
    """A shard's part of a list: slides i, i + n, i + 2 n, ... of it.

    Round robin, so that shares are of one size; whoever gives all shards the same list has every
    slide in exactly one of them.
    """
    if shard is None:
        return list(jobs)
    i, n = shard
    return list(jobs[i - 1 :: n])


def _free_name(name: str, taken: set[str]) -> str:
    """Slides of the same base name get ``~2``, ``~3``: none may resume another's store."""
    number, store = 1, name + SUFFIX
    # Some file systems do not tell small letters from large ones.
    while store.casefold() in taken:
        number += 1
        store = f"{name}~{number}{SUFFIX}"
    taken.add(store.casefold())
    return store
