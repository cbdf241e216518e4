"""On what a benchmark ran, as its report says it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor and number of cores."""
    return f"{_cpu_name()}, {os.cpu_count()} cores"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
