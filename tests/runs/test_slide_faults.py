"""What an error says: whether the device is lost to its process, and whether it may pass."""

import pytest
import torch

from napari_smoothsal.core.errors import ComputeError, SlideError, StoreError
from napari_smoothsal.runs.slide_faults import device_lost, first_line, may_pass

ILLEGAL = "CUDA error: an illegal memory access was encountered\nCompile with ..."


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "lost", "passing"),
    [
        (RuntimeError(ILLEGAL), True, True),
        (RuntimeError("HIP error: invalid device function"), True, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True, True),
        (caused(ComputeError("the pass failed"), RuntimeError(ILLEGAL)), True, True),
        (RuntimeError("CUDA error: out of memory"), False, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x"), False, True),
        (torch.OutOfMemoryError("CUDA out of memory"), False, True),
        (MemoryError(), False, True),
        (caused(ComputeError("a single tile"), torch.OutOfMemoryError("CUDA")), False, True),
        (OSError(28, "No space left on device"), False, True),
        (StoreError("held"), False, True),
        (RuntimeError("shapes do not match"), False, False),
        (ValueError("CUDA error: as a user may call anything"), False, False),
        (SlideError("not a slide"), False, False),
    ],
)
def test_what_an_error_says(error: Exception, lost: bool, passing: bool) -> None:
    assert (device_lost(error), may_pass(error)) == (lost, passing)


@pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="this torch has none")
def test_torch_s_own_error_of_a_device_needs_no_words() -> None:
    assert device_lost(torch.AcceleratorError("strange"))
    assert not device_lost(torch.AcceleratorError("CUDA error: out of memory"))


def test_no_error_is_none_of_a_device() -> None:
    assert not device_lost(None)


def test_advice_to_programmers_is_left_out() -> None:
    assert first_line(RuntimeError(ILLEGAL)) == ILLEGAL.splitlines()[0]
    assert first_line(MemoryError()) == "MemoryError"
