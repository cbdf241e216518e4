"""Safetensors: names, shapes and offsets as JSON, then the tensors. Nothing in it can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from napari_smoothsal.core.errors import ModelError

_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 8 << 20
"""Ten thousand tensors take 1 MiB. The library would take 100 MiB, and ten times that in memory."""


def header_bytes(head: bytes) -> int | None:
    """How long the header says it is; None where the file does not begin as such files do."""
    if head[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        return None
    return int.from_bytes(head[:_LENGTH_BYTES], "little")


def read_safetensors(path: Path, size: int, header: int) -> dict[str, Any]:
    """Read all tensors into memory of this process.

    The library's default maps the file: what somebody writes to it later would change the model,
    and shortening it would end the process. Reading also takes half of the memory, as mapped
    pages and their copies would both count.

    Parameters
    ----------
    path, size, header
        The file, its size, and what its first eight bytes say of the header, in bytes.

    Raises
    ------
    ModelError
        If it is truncated or inconsistent.
    """
    if header > size - _LENGTH_BYTES:
        raise ModelError(
            f"{path.name!r} is truncated: its header should have {header} bytes, the file has "
            f"{size}; copy or download it again"
        )
    if header > _MOST_HEADER_BYTES:
        raise ModelError(
            f"{path.name!r}: a header of {header >> 20} MiB is refused; files of weights have "
            "less than 1 MiB of names and shapes"
        )
    try:
        found: dict[str, Tensor] = load_file(path, backend="pread")
    except OSError:
        raise
    except Exception as error:  # types of number that torch does not know fail in several ways
        raise ModelError(
            f"{path.name!r} is damaged or truncated: {_without_place(error, path)}; copy or "
            "download it again"
        ) from error
    return dict(found)


def _without_place(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), path.name)[:300]
