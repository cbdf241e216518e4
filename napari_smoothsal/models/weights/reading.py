"""read_weights: what a file of weights holds, whatever it is called."""

from __future__ import annotations

import os
import pickle
import pickletools
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from napari_smoothsal.core.errors import ModelError, UnsafeModelError
from napari_smoothsal.models.weights.pickle_inspection import PickleInspector
from napari_smoothsal.models.weights.safetensors_file import header_bytes, read_safetensors
from napari_smoothsal.models.weights.torch_legacy import MAGIC, inspect_legacy, refuse_tar
from napari_smoothsal.models.weights.torch_zip import BEGIN, inspect_zip

_NEWEST_PROTOCOL = 5
_HEAD_BYTES = 1 << 16
_LFS = b"version https://git-lfs"
_SAFE_GLOBALS = threading.Lock()
"""torch's list of what may be unpickled is of the whole process."""


def read_weights(path: Path) -> dict[str, Any]:
    """Read a file of weights; nothing in it can run code, or take more memory than it is long.

    Parameters
    ----------
    path
        Safetensors, or what `torch.save` wrote, since 1.6 or before. Its content says which; its
        name says nothing.

    Returns
    -------
    dict
        As it is in the file: a state dict, or a checkpoint that nests it, among numbers and text.
        The tensors are on the CPU and own their memory: the file may be changed afterwards.

    Raises
    ------
    UnsafeModelError
        Where reading could run code: other pickles, and those that name, call or build anything
        but tensors and plain values.
    ModelError
        Where there is no such file, or it is something else, TorchScript, damaged or truncated,
        or claims more than it holds.
    """
    if not path.is_file():
        raise ModelError(f"there is no file of weights {path.name!r} in {path.parent.name!r}")
    name = path.name
    try:
        with path.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            head = handle.read(_HEAD_BYTES)
            header = header_bytes(head)
            if header is not None and (header < size or not _looks_pickled(head)):
                return read_safetensors(path, size, header)
            if head.startswith(BEGIN):
                return _read_torch(handle, name, inspect_zip(handle, name, size))
            if head.startswith(MAGIC):
                return _read_torch(handle, name, inspect_legacy(handle, name, size))
    except OSError as error:
        raise ModelError(f"{name!r} cannot be read: {error.strerror}") from error
    raise _refusal(head, name)


def _read_torch(handle: IO[bytes], name: str, inspected: PickleInspector) -> dict[str, Any]:
    """Have torch read what was looked through."""
    handle.seek(0)
    try:
        with _numpy_allowed(inspected.globals):
            content = torch.load(handle, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        raise UnsafeModelError(f"{name!r} cannot be read without running code") from error
    except Exception as error:  # the unpickler meets garbage with errors of any kind
        raise ModelError(
            f"{name!r} is damaged: torch cannot read it ({type(error).__name__}); copy or download "
            "it again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{name!r} holds no state dict (names and tensors), but a {type(content).__name__}; "
            "save module.state_dict()"
        )
    return content


@contextmanager
def _numpy_allowed(used: set[str]) -> Iterator[None]:
    """Let torch's unpickler make numpy's numbers, where a file was found to hold nothing worse."""
    if not any(name.startswith("numpy") for name in used):
        yield
        return
    kinds = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["Float"]}
    kinds |= {type(np.dtype(code)) for code in "?FD"}
    scalar: Any = np.float64(0).__reduce__()[0]
    wanted: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        np.dtype,
        *kinds,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]
    with _SAFE_GLOBALS:
        there = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([one for one in wanted if one not in there]):
            yield


def _looks_pickled(head: bytes) -> bool:
    if head[:1] == b"\x80":
        return head[1:2] <= bytes([_NEWEST_PROTOCOL])
    try:
        return sum(1 for _ in pickletools.genops(BytesIO(head))) > 1
    except Exception:  # noqa: BLE001 -- whatever it is, it is no pickle
        return False


def _refusal(head: bytes, name: str) -> ModelError:
    """What to say of a file that is none of the formats."""
    way_out = (
        "where you trust it, load it there and write its state dict with "
        "safetensors.torch.save_file(module.state_dict(), 'model.safetensors')"
    )
    if not head:
        return ModelError(f"{name!r} is empty; copy or download it again")
    if head.startswith(_LFS):
        return ModelError(
            f"{name!r} is not the weights, but what Git LFS puts in their place; fetch them with "
            "`git lfs pull`"
        )
    try:
        refuse_tar(head[: tarfile.BLOCKSIZE], name)
    except UnsafeModelError as error:
        return error
    if _looks_pickled(head):
        return UnsafeModelError(
            f"{name!r} is a pickle, and cannot be read without running code that it may hold; "
            + way_out
        )
    return ModelError(
        f"{name!r} is no file of weights that can be read without running code: neither "
        f"safetensors nor written by torch.save; {way_out}"
    )
