"""What an error that stopped a slide says: of the device, and of the next try."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from napari_smoothsal.attribution.memory import out_of_memory
from napari_smoothsal.core.errors import StoreError

_PASSING = (OSError, StoreError)
"""Errors that may be gone the next time, though nobody changed the slide or the command."""
_OF_DEVICE = getattr(torch, "AcceleratorError", ())
"""What torch raises from 2.8 on; before, a RuntimeError that only its words tell from others."""
_DEVICE_WORDS = re.compile(r"\b(CUDA|HIP|cuDNN) error\b")
_MEMORY_WORDS = re.compile(r"out of memory|STATUS_ALLOC_FAILED")


def device_lost(error: BaseException | None) -> bool:
    """Whether an error is the device's own, after which it refuses a process all further work.

    CUDA keeps an illegal memory access or a failed assertion for as long as the process lives, and
    answers whatever is asked with it: what comes next fails for the reason of what came before.

    Parameters
    ----------
    error
        What stopped a slide; None where nothing did. What it was raised from counts as well.
        Memory that ran out is not meant: a device goes on after that.
    """
    return any(
        isinstance(one, _OF_DEVICE)
        or (isinstance(one, RuntimeError) and bool(_DEVICE_WORDS.search(str(one))))
        for one in _causes(error)
    ) and not _memory_ran_out(error)


def may_pass(error: BaseException) -> bool:
    """Whether the same command may succeed later: the disk, memory, another process, the device."""
    return isinstance(error, _PASSING) or _memory_ran_out(error) or device_lost(error)


def first_line(error: BaseException) -> str:
    """What an error says, without the advice to programmers that CUDA's adds."""
    return str(error).partition("\n")[0] or type(error).__name__


def _memory_ran_out(error: BaseException | None) -> bool:
    return any(
        out_of_memory(one)
        or (isinstance(one, RuntimeError) and bool(_MEMORY_WORDS.search(str(one))))
        for one in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
