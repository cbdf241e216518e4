"""Compute settings resolved on this machine: device, number format, batch size."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psutil
import torch

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute

ResolvedPrecision = Literal["fp64", "fp32", "tf32", "bf16"]

_CPU_BUDGET_BYTES = 2 << 30
_LARGEST_BATCH = {"cpu": 16, "cuda": 128, "mps": 32}


@dataclass(frozen=True)
class Device:
    """Where and in which number format a network runs; decided once and recorded."""

    device: torch.device
    precision: ResolvedPrecision
    deterministic: bool

    @property
    def dtype(self) -> torch.dtype:
        """Format of images, scores and maps."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    @property
    def inside(self) -> torch.dtype | None:
        """Format of the network's own weights and feature maps, where it is a narrower one."""
        return torch.bfloat16 if self.precision == "bf16" else None

    @contextlib.contextmanager
    def numerics(self) -> Iterator[None]:
        """Number formats and determinism for the block; restored on leaving."""
        matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        deterministic = torch.are_deterministic_algorithms_enabled()
        only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
        try:
            tf32 = self.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            if self.deterministic:
                # cuBLAS asks for it; read when its first handle is made.
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
                torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul
            torch.backends.cudnn.allow_tf32 = cudnn
            torch.use_deterministic_algorithms(deterministic, warn_only=only_warn)

    def batch_size(self, compute: Compute, bytes_per_tile: int) -> int:
        """Rows of a pass: as asked, else what fits into the budget or a share of free memory."""
        if compute.batch_size != "auto":
            return compute.batch_size
        if compute.budget_bytes is not None:
            budget = compute.budget_bytes
        elif self.device.type == "cuda":
            budget = torch.cuda.mem_get_info(self.device)[0] // 2
        else:
            budget = min(_CPU_BUDGET_BYTES, psutil.virtual_memory().available // 4)
        largest = _LARGEST_BATCH.get(self.device.type, 16)
        return int(max(1, min(largest, budget // max(bytes_per_tile, 1))))


def resolve_device(compute: Compute) -> Device:
    """Choose device and precision.

    Raises
    ------
    SettingError
        If the device is not there, or the precision is not to be had on it.
    """
    name = compute.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(
            f"device = {name!r}: not a device; give auto, cpu, cuda, cuda:1 or mps"
        ) from error
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing or device.type not in _LARGEST_BATCH:
        raise SettingError(f"device = {name!r}: this machine has no such device")
    precision: ResolvedPrecision = "fp32" if compute.precision == "auto" else compute.precision
    if precision == "tf32" and device.type != "cuda":
        raise SettingError(f"precision = 'tf32' needs a CUDA device, not {name!r}")
    if precision == "fp64" and device.type == "mps":
        raise SettingError("precision = 'fp64' does not exist on mps; use cpu")
    return Device(device, precision, compute.deterministic)
