"""Files of `torch.save` since 1.6: a zip of one pickle and one uncompressed record per storage.

Python's zip reader looks at it, torch's reads it. So that both see the same file, only the plain
layout that torch writes is let through: nothing before, between or after the records but padding,
one folder, no name twice, nothing compressed.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.weights.pickle_inspection import MOST_PICKLE_BYTES, PickleInspector

BEGIN = b"PK\x03\x04"

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR64_BYTES, _END64_BYTES = 22, 20, 56
_LOCAL_BYTES = 30
_MOST_DIRECTORY_BYTES = 16 << 20
_TORCHSCRIPT = ("constants.pkl", "code/")
_PICKLE = "data.pkl"


def inspect_zip(handle: IO[bytes], name: str, size: int) -> PickleInspector:
    """Look through a zip of weights, so that torch can read it safely.

    Raises
    ------
    UnsafeModelError
        Where reading it could run code.
    ModelError
        Where it is TorchScript, damaged or truncated, or claims more than there is.
    """
    start, length = _directory(handle, name, size)
    if length > _MOST_DIRECTORY_BYTES:
        raise ModelError(f"{name!r}: a table of contents of {length >> 20} MiB is refused")
    try:
        with ZipFile(handle) as archive:
            entries = archive.infolist()
            records = _records(entries, name)
            _apart(handle, entries, start, name)
            pickle = _pickle_of(records, name)
            content = BytesIO(archive.read(pickle))
    except (BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise ModelError(f"{name!r} is damaged or truncated: {error}; copy it again") from error

    def claimed(key: str, numel: int, itemsize: int) -> None:
        record = records.get(f"data/{key}")
        if record is None or record.file_size != numel * itemsize:
            held = "no such record" if record is None else record.file_size
            raise ModelError(
                f"the storage {key[:40]!r} should have {numel * itemsize} bytes, the file holds "
                f"{held}"
            )

    inspector = PickleInspector(name, claimed)
    inspector.inspect(content)
    return inspector


def _directory(handle: IO[bytes], name: str, size: int) -> tuple[int, int]:
    """Where the table of contents begins, and its bytes, by a fixed layout of the file's end.

    Readers of zips search for the end, and may find different ones.
    """
    tail_bytes = min(size, _END_BYTES + _LOCATOR64_BYTES + _END64_BYTES)
    handle.seek(size - tail_bytes)
    tail = handle.read(tail_bytes)
    end, before = tail[-_END_BYTES:], tail[:-_END_BYTES]
    if end[:4] != _END or end[20:] != b"\0\0":
        raise ModelError(
            f"{name!r} is truncated, or something was added to it: it does not end as torch's "
            "files do; copy or download it again"
        )
    length, start = struct.unpack("<II", end[12:20])
    stop = size - _END_BYTES
    if before[-_LOCATOR64_BYTES:].startswith(_LOCATOR64):
        if not before.startswith(_END64):
            raise ModelError(f"{name!r}: the end of the zip is not as torch writes it")
        length, start = struct.unpack("<QQ", before[40:56])
        stop -= _LOCATOR64_BYTES + _END64_BYTES
    if start + length != stop:
        raise ModelError(
            f"{name!r}: its table of contents does not lie where the end of the zip says; "
            "something was put before or after it"
        )
    return start, length


def _records(entries: list[ZipInfo], name: str) -> dict[str, ZipInfo]:
    """Records by their names within the one folder."""
    records: dict[str, ZipInfo] = {}
    seen = set()
    for entry in entries:
        top, slash, record = entry.filename.partition("/")
        parts = [top, *record.split("/")]
        if (
            not slash
            or entry.orig_filename != entry.filename
            or any(p in ("", ".", "..") or "\\" in p or ":" in p for p in parts)
            or not all(c.isprintable() for c in entry.filename)
        ):
            raise ModelError(
                f"{name!r} holds an entry {entry.filename[:60]!r}; torch writes none of that kind"
            )
        if entry.filename.casefold() in seen:
            raise ModelError(f"{name!r} holds the entry {entry.filename[:60]!r} twice")
        if record.startswith(_TORCHSCRIPT):  # whose programs torch compresses
            raise ModelError(
                f"{name!r} is TorchScript, whose hidden layers cannot be reached. Where you trust "
                "it, take its weights out with safetensors.torch.save_file(torch.jit.load(FILE)"
                ".state_dict(), 'model.safetensors') and name the architecture in a card"
            )
        if entry.compress_type != ZIP_STORED or entry.compress_size != entry.file_size:
            raise ModelError(
                f"{name!r}: the entry {entry.filename[:60]!r} is compressed, and might grow "
                "without bounds; torch writes none of that kind. Save it again with torch.save"
            )
        if entry.flag_bits & 0x1:
            raise ModelError(f"{name!r}: the entry {entry.filename[:60]!r} is encrypted")
        seen.add(entry.filename.casefold())
        records[record] = entry
    tops = {entry.filename.partition("/")[0] for entry in entries}
    if len(tops) != 1:
        raise ModelError(
            f"{name!r} holds {len(tops)} folders where torch writes one; that is no file of weights"
        )
    return records


def _apart(handle: IO[bytes], entries: list[ZipInfo], end: int, name: str) -> None:
    """Make sure that entries neither overlap nor leave the file: together they fit into it."""
    free = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        handle.seek(entry.header_offset)
        local = handle.read(_LOCAL_BYTES)
        if entry.header_offset < free or local[:4] != BEGIN or len(local) < _LOCAL_BYTES:
            raise ModelError(f"{name!r}: entries of the zip overlap, or lie where none can be")
        lengths: tuple[int, int] = struct.unpack("<HH", local[26:30])
        free = entry.header_offset + _LOCAL_BYTES + sum(lengths) + entry.file_size
    if free > end or min(e.header_offset for e in entries):
        raise ModelError(f"{name!r}: entries of the zip overlap, or lie where none can be")


def _pickle_of(records: dict[str, ZipInfo], name: str) -> ZipInfo:
    others = [r for r in records if r.endswith((".pkl", ".pickle", ".pt", ".pth")) and r != _PICKLE]
    if _PICKLE not in records or others:
        told = f"also {others[0][:60]!r}" if others else f"no {_PICKLE!r}"
        raise ModelError(f"{name!r} is no file of weights of torch: it holds {told}")
    if records[_PICKLE].file_size > MOST_PICKLE_BYTES:
        raise ModelError(
            f"{name!r}: a description of {records[_PICKLE].file_size >> 20} MiB is refused; names "
            "and shapes of weights take less than 1 MiB"
        )
    return records[_PICKLE]
