"""Files of `torch.save` before 1.6: five pickles, then the storages one after the other."""

from __future__ import annotations

import sys
import tarfile
from io import BytesIO
from typing import IO

from napari_smoothsal.core.errors import ModelError, UnsafeModelError
from napari_smoothsal.models.weights.pickle_calls import Container
from napari_smoothsal.models.weights.pickle_inspection import MOST_PICKLE_BYTES, PickleInspector

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first of the pickles, torch's magic number."""

_PROTOCOL = 1001
_COUNT_BYTES = 8


def inspect_legacy(handle: IO[bytes], name: str, size: int) -> PickleInspector:
    """Look through such a file, so that torch can read it safely.

    torch allocates what the fourth pickle claims before it looks whether the file has it. So the
    claims are compared with the counts that stand before each storage.

    Raises
    ------
    UnsafeModelError
        Where reading it could run code.
    ModelError
        Where it is damaged or truncated, or claims more than there is.
    """
    handle.seek(0)
    stream = BytesIO(handle.read(min(size, MOST_PICKLE_BYTES)))
    refuse_tar(stream.getvalue()[: tarfile.BLOCKSIZE], name)

    def claimed(key: str, numel: int, itemsize: int) -> None:
        if numel * itemsize > size:
            raise ModelError(
                f"the storage {key[:40]!r} should have {numel * itemsize} bytes, the file has "
                f"{size} in all"
            )

    plain, inspector = PickleInspector(name), PickleInspector(name, claimed)
    plain.inspect(stream)  # the magic number
    protocol = plain.inspect(stream)
    if protocol != _PROTOCOL:
        raise ModelError(f"{name!r} is written in torch's protocol {protocol}, not {_PROTOCOL}")
    plain.inspect(stream)  # byte order and sizes of C's types on the machine that wrote it
    inspector.inspect(stream)
    keys = plain.inspect(stream)
    listed = keys.items if isinstance(keys, Container) and keys.kind == "list" else []
    if (
        not all(isinstance(key, str) for key in listed)
        or len(set(listed)) < len(listed)
        or set(listed) != set(inspector.storages)
    ):
        raise ModelError(f"{name!r} is damaged: the storages it lists are not those it uses")
    at = stream.tell()
    for key in listed:
        storage = inspector.storages[key]
        handle.seek(at)
        count = int.from_bytes(handle.read(_COUNT_BYTES), sys.byteorder)
        at += _COUNT_BYTES + storage.numel * storage.itemsize
        if count != storage.numel or at > size:
            raise ModelError(
                f"{name!r} is damaged or truncated: the storage {key[:40]!r} should have "
                f"{storage.numel} elements; copy or download it again"
            )
    return inspector


def refuse_tar(block: bytes, name: str) -> None:
    """Refuse what torch would take for a tar archive, by its first 512 bytes.

    Raises
    ------
    UnsafeModelError
        If they are the header of one.
    """
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return
    raise UnsafeModelError(
        f"{name!r} is a tar archive, as torch wrote them in its first months, and cannot be read "
        "without running code; where you trust it, load it with torch and save its state dict "
        "with safetensors.torch.save_file"
    )
