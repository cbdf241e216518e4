"""examine_store, repair_store: is a store whole, and what of it can be made whole again?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel

from napari_smoothsal.core.errors import SmoothsalError, StoreError
from napari_smoothsal.core.findings import Finding, note, ok, some_of, wrong
from napari_smoothsal.runs.chunk_check import BrokenChunk, Damage, find_damage
from napari_smoothsal.runs.layout import FINISHED, FORMAT, LABELS, SUFFIX, own_attributes
from napari_smoothsal.runs.packing import displaced, restore
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.store_litter import is_ours, litter_of, sweep_litter
from napari_smoothsal.runs.store_repair import AGAIN, Repair, is_repairable
from napari_smoothsal.runs.store_table import ANOTHER_OUT, TableCheck, check_table
from napari_smoothsal.runs.stored_images import StoredImage, stored_images
from napari_smoothsal.runs.writer_lock import is_written, only_writer, writer_of
from napari_smoothsal.runs.zarr_io import array_at, attributes_of, group_at, open_root

BY_REPAIR = "`smoothsal doctor --repair` removes it; then repeat the same `smoothsal run` command"
PUT_BACK = "the same `smoothsal run` command or `smoothsal doctor --repair` puts them back"
_STATUSES = ("running", "failed", *FINISHED)


@dataclass(frozen=True)
class _Survey:
    """What was found, and what a repair starts from."""

    findings: tuple[Finding, ...]
    images: tuple[StoredImage, ...] = ()
    damage: Damage = field(default_factory=Damage)
    table: TableCheck = field(default_factory=lambda: TableCheck(()))
    unwritten: bool = False


def is_store(path: Path) -> bool:
    """Whether a folder is a store of this program, or was one before it was damaged."""
    if not path.is_dir():
        return False
    return own_attributes(path) is not None or path.name.endswith(SUFFIX)


def examine_store(path: str | Path) -> tuple[Finding, ...]:
    """Look at all of a store, and write nothing.

    Parameters
    ----------
    path
        Its folder. It may be growing.

    Returns
    -------
    tuple of Finding
        Of its description, its status and who writes, what was left behind, metadata, table of
        tiles, every chunk, and every band that is written.

    Raises
    ------
    StoreError
        If there is no folder.
    """
    path = Path(path).resolve()
    writing = is_written(path)
    return (*_survey(path, writing).findings, *_surroundings(path, writing))


def examine_begun(path: str | Path) -> tuple[Finding, ...]:
    """Look at what is left of a store that was begun and never came to be; see `stores_begun`."""
    path = Path(path).resolve()
    return tuple(_surroundings(path, is_written(path)))


def repair_store(path: str | Path) -> tuple[Finding, ...]:
    """Look at a store and repair what safely can be.

    Litter is removed, and arrays that interrupted packing left without their place get it back.
    Coarser levels of maps are made again from level 0. Whatever else is damaged is forgotten, so
    that the same ``smoothsal run`` command computes it again and nothing else.

    Parameters
    ----------
    path
        As of `examine_store`.

    Returns
    -------
    tuple of Finding
        As of `examine_store` afterwards, with what was repaired.

    Raises
    ------
    StoreError
        If there is no folder, or another process writes into it.
    """
    path = Path(path).resolve()
    # Of a store nothing is repaired that is not known to be ours, its neighbours included.
    if not is_ours(path):
        return _survey(path).findings
    litter = len(litter_of(path))
    done: list[Finding] = []
    with only_writer(path):
        back = restore(path)
        sweep_litter(path)
        if back:
            said = f"{back} array(s) were put back into their place"
            done.append(Finding("packing", "repaired", said))
        if litter:
            said = f"{litter} thing(s) that a process left behind were removed"
            done.append(Finding("litter", "repaired", said))
        if not path.is_dir():
            return tuple(done)
        before = _survey(path)
        if before.images:
            repair = Repair(path, before.images)
            done += repair.damage(before.damage) if before.damage else []
            done += repair.tiles(before.table.again)
            if before.table.unfinished or before.unwritten:
                done += repair.finish_later()
        after = _survey(path) if len(done) > bool(litter) + bool(back) else before
    return (*after.findings, *done, *_surroundings(path, writing=False))


def _survey(path: Path, writing: bool = False) -> _Survey:
    if not path.is_dir():
        raise StoreError(f"there is no store {path.name!r}; give a folder of `smoothsal run`")
    own = own_attributes(path)
    if own is None:
        said = "zarr.json does not describe a store of this program, or cannot be read"
        return _Survey((wrong("description", said, f"{ANOTHER_OUT}; nothing in it was touched"),))
    if own["format"] != FORMAT:
        said = f"store format {own['format']}; this version reads {FORMAT}"
        return _Survey((wrong("format", said, "use the version that wrote it, or another --out"),))
    if lost := displaced(path):
        said = (
            f"joining chunks was interrupted; {len(lost)} array(s) wait for their place beside it"
        )
        return _Survey((wrong("packing", said, PUT_BACK),))
    try:
        return _looked_at(path, own, writing)
    except (SmoothsalError, LookupError, ValueError, TypeError, OSError) as error:
        return _Survey((wrong("description", _misfit(error), ANOTHER_OUT),))


def _misfit(error: Exception) -> str:
    """What stopped the look at a store, without the names that Python has for it."""
    if isinstance(error, SmoothsalError):
        return str(error)[:300]
    if isinstance(error, KeyError):
        return f"its description lacks {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"a part of it cannot be read ({error.strerror})"
    return "its parts do not fit together"


def _looked_at(path: Path, own: Mapping[str, Any], writing: bool) -> _Survey:
    root = open_root(path, "r")
    findings = [_described(path, own, writing)]
    images = stored_images(root, list(own["maps"]))
    findings.append(_metadata(root, images))
    damage = find_damage(path, root, images)
    unreadable = {chunk.array for chunk in damage.broken}
    columns = {
        name: np.asarray(array[:])
        for name, array in group_at(root, "tiles").arrays()
        if f"tiles/{name}" not in unreadable
    }
    table = check_table(columns, own, any(name.startswith("tiles/") for name in unreadable))
    open_bands = sum(_open(root, image, unreadable) for image in images)
    unwritten = own["status"] in FINISHED and open_bands > 0
    findings += [*table.findings, *_of_damage(damage)]
    findings += _of_bands(images, open_bands, unwritten, writing)
    return _Survey(tuple(findings), tuple(images), damage, table, unwritten)


def _described(path: Path, own: Mapping[str, Any], writing: bool) -> Finding:
    """Status and identity, read as `open_run` reads them."""
    if own["status"] not in _STATUSES:
        return wrong("status", f"{own['status']!r} is none that is known", ANOTHER_OUT)
    run = Run(path)
    about = run.provenance
    maps = list(run.maps.values())
    unfinished = run.status == "running" and not writing
    said = "unfinished" if unfinished else run.status
    said += f"; {len(maps)} map(s) of model {about['model']['name']!r}, format {FORMAT}"
    if run.status == "failed":
        return wrong("status", f"{said}; an error ended the run", AGAIN)
    return note("status", said) if unfinished else ok("status", said)


def _metadata(root: zarr.Group, images: list[StoredImage]) -> Finding:
    """OME-Zarr 0.5, as its own models check it."""
    listed = attributes_of(group_at(root, "OME"))["ome"]["series"]
    wanted = ["overview", *(image.path for image in images)]
    bad = [] if listed == wanted else ["the list of images is not that of the maps"]
    checked: list[tuple[str, Any]] = [(path, Image) for path in wanted]
    if LABELS in root:
        checked.append((LABELS, ImageLabel))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, model in checked:
            try:
                model.from_zarr(group_at(root, path))
            except Exception as error:  # noqa: BLE001 - whatever a validator makes of it
                bad.append(f"{path}: {str(error).partition(chr(10))[0][:120]}")
    if bad:
        return wrong("metadata", f"no valid OME-Zarr 0.5: {some_of(bad)}", ANOTHER_OUT)
    return ok("metadata", f"valid OME-Zarr 0.5, {len(checked)} image(s)")


def _open(root: zarr.Group, image: StoredImage, unreadable: set[str]) -> int:
    name = f"state/rows_{image.number}"
    return 0 if name in unreadable else int((np.asarray(array_at(root, name)[:]) == 0).sum())


def _of_damage(damage: Damage) -> list[Finding]:
    found = []
    mine = [chunk for chunk in damage.broken if is_repairable(chunk)]
    lost = [chunk for chunk in damage.broken if not is_repairable(chunk)]
    if mine:
        said = f"{len(mine)} cannot be read: {some_of(mine)} ({_reasons(mine)})"
        found.append(wrong("chunks", said, BY_REPAIR))
    if lost:
        said = f"{some_of(lost)} cannot be read, and no run writes them again ({_reasons(lost)})"
        found.append(wrong("chunks", said, ANOTHER_OUT))
    if damage.contradicting:
        said = f"{len(damage.contradicting)} decode, and contradict their coarser levels or labels"
        found.append(wrong("bands", said, BY_REPAIR))
    if damage.lost:
        said = f"{len(damage.lost)} are marked written, and show nothing where tiles are done"
        found.append(wrong("bands", said, BY_REPAIR))
    return found or [ok("chunks", f"{damage.looked_at} chunks decode")]


def _reasons(chunks: Sequence[BrokenChunk]) -> str:
    return "; ".join(dict.fromkeys(chunk.why for chunk in chunks))


def _of_bands(
    images: list[StoredImage], unwritten: int, in_finished: bool, writing: bool
) -> list[Finding]:
    total = sum(image.bands for image in images)
    if in_finished:
        said = f"{unwritten} of {total} are not written in a store that calls itself finished"
        return [wrong("bands", said, BY_REPAIR.replace("removes it", "says so in it"))]
    if not total:
        return []
    said = f"{total - unwritten} of {total} written"
    if unwritten and not writing:
        return [note("bands", f"{said}; the others wait for the run to go on")]
    return [ok("bands", said)]


def _surroundings(path: Path, writing: bool) -> list[Finding]:
    """Who writes, and what was left by who does not any more."""
    if writing:
        named = writer_of(path)
        said = f"{named or 'a process that did not say its name'} is writing into it"
        remedy = ""
        if named is not None and named.alive is None:
            remedy = f"whether it lives can be seen on {named.host} alone"
        return [note("writer", said, remedy)]
    own = own_attributes(path) if path.is_dir() else None
    found = []
    if own is not None and own["status"] == "running":
        found.append(note("writer", "nobody writes, and the store is unfinished", AGAIN))
    litter = litter_of(path)
    if litter:
        said = f"{len(litter)} thing(s) left by a process that was killed: "
        said += some_of(one.name for one in litter)
        remedy = "the same `smoothsal run` command or `smoothsal doctor --repair` removes them"
        found.append(note("litter", said, remedy))
    return found
